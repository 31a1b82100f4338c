import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import CategoricalInput, NumericInput, select

INPUTS = [
    CategoricalInput("item", 10),
    CategoricalInput("tags", 4, multivalued=True),
    NumericInput("price"),
]
COLUMNS = {
    "item": np.array([7, 9]),
    "tags": np.array([[0, -1], [2, 3]]),
    "price": np.array([0.5, -0.5]),
}


def test_known_ids_are_those_of_the_vocabulary() -> None:
    assert CategoricalInput("item", cardinality=10, oov_buckets=3).known == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cardinality": 2, "oov_buckets": 3}, "oov_buckets=3, cardinality=2"),
        ({"cardinality": 2, "oov_buckets": -1}, "oov_buckets=-1"),
        ({"cardinality": 0, "oov_buckets": 0}, "cardinality=0"),
        ({"cardinality": 2, "embedding": 0}, "embedding=0"),
        ({"cardinality": 3.5}, "a whole number for cardinality, found 3.5"),
        ({"cardinality": 4, "embedding": 2.5}, "whole number for embedding, found 2.5"),
        ({"cardinality": 4, "values": ("a", "b")}, "each of the 3 known ids, found 2"),
        ({"cardinality": 4, "values": ("a", "b", "a")}, r"found \['a'\] several times"),
        (
            {"cardinality": 3, "values": ("", "(empty)")},
            r"\['\(empty\)'\] several times",
        ),
    ],
)
def test_refuses_sizes_that_do_not_fit(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"input 'item'.*{message}"):
        CategoricalInput("item", **arguments)


def test_is_immutable_and_hashable() -> None:
    item = CategoricalInput("item", cardinality=3, values=["a", "b"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.cardinality = 4
    assert len({item, CategoricalInput("item", 3, values=("a", "b"))}) == 1


@pytest.mark.parametrize(
    "item",
    [
        NumericInput("price"),
        CategoricalInput(
            "tags", 4, embedding=3, oov_buckets=2, multivalued=True, values=("a", "b")
        ),
    ],
    ids=lambda item: item.name,
)
def test_survives_json(item: CategoricalInput | NumericInput) -> None:
    text = json.dumps(keras.saving.serialize_keras_object(item))
    assert keras.saving.deserialize_keras_object(json.loads(text)) == item


def test_select_takes_the_inputs_alone() -> None:
    selected = select(INPUTS, COLUMNS | {"text": np.array(["a", "b"])})
    assert list(selected) == ["item", "tags", "price"]
    for name, column in COLUMNS.items():
        np.testing.assert_array_equal(selected[name], column)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *(("int32", "int32"), ("int64", "int64")),
        *((name, "int64") for name in ("int8", "int16", "uint8", "uint32", "uint64")),
    ],
)
def test_select_makes_ids_int32_or_int64(given: str, expected: str) -> None:
    columns = COLUMNS | {"item": COLUMNS["item"].astype(given)}
    item = select(INPUTS, columns)["item"]
    assert item.dtype == expected
    np.testing.assert_array_equal(item, [7, 9])


def test_select_keeps_ragged_ids() -> None:
    tags = tf.ragged.constant([[0], [2, 3]], dtype=tf.uint8)
    selected = select(INPUTS, COLUMNS | {"tags": tags})["tags"]
    assert selected.to_list() == [[0], [2, 3]]
    assert selected.dtype == tf.int64


def test_select_pads_sparse_ids() -> None:
    places = [[0, 0], [2, 0], [2, 1]]
    ids = tf.constant([3, 0, 2], tf.uint8)
    sparse = tf.SparseTensor(places, ids, dense_shape=[3, 2])
    tags = select(INPUTS, COLUMNS | {"tags": sparse})["tags"]
    np.testing.assert_array_equal(tags, [[3, -1], [-1, -1], [0, 2]])


ONE = r"of the shape \(batch,\) or \(batch, 1\), found "


@pytest.mark.parametrize(
    ("name", "column", "told"),
    [
        ("item", [[1, 2], [3, 4]], rf"an id for each row, {ONE}\(2, 2\)"),
        ("price", np.ones((2, 3)), rf"a number for each row, {ONE}\(2, 3\)"),
        (
            "item",
            tf.ragged.constant([[1], [2]]),
            rf"an id for each row, {ONE}a RaggedTensor of \(2, None\)",
        ),
        (
            "price",
            tf.sparse.from_dense([[0.5], [1.0]]),
            rf"a number for each row, {ONE}a SparseTensor of \(2, 1\)",
        ),
        ("item", 7, rf"an id for each row, {ONE}\(\); batch the data set, as in"),
        ("price", 0.5, rf"a number for each row, {ONE}\(\); batch the data set"),
        ("tags", [1, 2], r"any number of ids .* shape \(batch, any\), found \(2,\)"),
        ("tags", [[[1]], [[2]]], r"any number .* \(batch, any\), found \(2, 1, 1\)"),
    ],
)
def test_select_names_what_has_another_shape(name: str, column, told: str) -> None:
    with pytest.raises(ValueError, match=f"feature '{name}': expected {told}"):
        select(INPUTS, COLUMNS | {name: column})


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [
        ([None, None], [4, 1], [2, 2]),
        ([None, None, 1], [4, 1, 1], [2, 2, 1]),
        (None, [4], [2, 2]),
        (None, [4, 1], [1, 4]),
    ],
)
def test_select_takes_no_other_shape_in_a_step(
    shape: list | None, good: list, bad: list
) -> None:
    @tf.function(input_signature=[tf.TensorSpec(shape, tf.int64)])
    def item(ids: tf.Tensor) -> tf.Tensor:
        return select(INPUTS, COLUMNS | {"item": ids})["item"]

    ids = np.arange(4)
    np.testing.assert_array_equal(item(ids.reshape(good)), ids.reshape(good))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"item.*an id for each row, of the shape"
    ):
        item(ids.reshape(bad))


def test_select_takes_what_has_no_static_shape() -> None:
    @tf.function(input_signature=[tf.TensorSpec(None, tf.int64)] * 2)
    def selected(item: tf.Tensor, tags: tf.Tensor) -> dict[str, tf.Tensor]:
        return select(INPUTS, COLUMNS | {"item": item, "tags": tags})

    found = selected(COLUMNS["item"], COLUMNS["tags"])
    for name in ("item", "tags"):
        np.testing.assert_array_equal(found[name], COLUMNS[name])


def test_select_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"missing: \['tags', 'price'\]"):
        select(INPUTS, {"item": COLUMNS["item"]})


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (np.array([7.0, 9.0]), "float64"),
        (np.array([True, False]), "bool"),
        (np.array(["7", "9"], object), "string"),
        (["7", "9"], "string"),
    ],
)
def test_select_names_ids_that_are_no_integers(ids, found: str) -> None:
    told = f"feature 'item': expected integer ids, found {found}"
    with pytest.raises(ValueError, match=told):
        select(INPUTS, COLUMNS | {"item": ids})

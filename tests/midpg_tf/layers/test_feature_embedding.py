import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import CategoricalInput, FeatureEmbedding, NumericInput

INPUTS = [
    CategoricalInput("item", cardinality=3, embedding=2),
    NumericInput("price"),
    CategoricalInput("tags", cardinality=3, embedding=1, multivalued=True),
]
ITEM = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
TAGS = [[10.0], [20.0], [60.0]]
FEATURES = {
    "item": tf.constant([2, 0, 1], tf.int64),
    "price": tf.constant([0.5, -0.5, 0.0]),
    # Two tags, one tag, none.
    "tags": tf.constant([[0, 2, -1], [1, -1, -1], [-1, -1, -1]], tf.int64),
}
EXPECTED = [[5.0, 6.0, 0.5, 35.0], [1.0, 2.0, -0.5, 20.0], [3.0, 4.0, 0.0, 0.0]]


def by_hand(**kwargs) -> FeatureEmbedding:
    layer = FeatureEmbedding(INPUTS, **kwargs)
    layer.build()
    layer.tables["item"].assign(ITEM)
    layer.tables["tags"].assign(TAGS)
    return layer


def test_hand_computed_vectors() -> None:
    layer = by_hand()
    output = layer(FEATURES | {"not_an_input": tf.constant(["a", "b", "c"])})
    np.testing.assert_allclose(output, EXPECTED)
    assert layer.width == 4
    symbols = {
        name: keras.Input(value.shape[1:], dtype=value.dtype)
        for name, value in FEATURES.items()
    }
    assert layer(symbols).shape.as_list() == [None, 4]


def test_the_order_of_a_row_is_that_of_the_arguments() -> None:
    layer = FeatureEmbedding(INPUTS[::-1])
    layer.build()
    layer.tables["item"].assign(ITEM)
    layer.tables["tags"].assign(TAGS)
    output = layer(FEATURES)
    np.testing.assert_allclose(output[0], [35.0, 0.5, 5.0, 6.0])


def test_accepts_a_trailing_axis() -> None:
    columns = {name: FEATURES[name][:, tf.newaxis] for name in ("item", "price")}
    np.testing.assert_allclose(by_hand()(FEATURES | columns), EXPECTED)


def test_a_batch_without_any_tag() -> None:
    output = by_hand()(FEATURES | {"tags": tf.zeros((3, 0), tf.int64)})
    np.testing.assert_allclose(output[:, -1], np.zeros(3))


def test_only_the_rows_own_embeddings_get_a_gradient() -> None:
    layer = by_hand()
    one_row = {name: value[:1] for name, value in FEATURES.items()}
    with tf.GradientTape() as tape:
        output = tf.reduce_sum(layer(one_row))
    item, tags = (
        tf.convert_to_tensor(gradient)
        for gradient in tape.gradient(output, [*layer.tables.values()])
    )
    np.testing.assert_allclose(item, [[0, 0], [0, 0], [1, 1]])
    # The mean of tags 0 and 2; padding must not train tag 0 a second time.
    np.testing.assert_allclose(tags, [[0.5], [0], [0.5]])


def test_starts_small_and_is_regularised() -> None:
    layer = FeatureEmbedding(
        [CategoricalInput("item", cardinality=500, embedding=20)], stddev=0.1, l2=2.0
    )
    layer.build()
    np.testing.assert_allclose(np.std(layer.tables["item"]), 0.1, rtol=0.05)
    np.testing.assert_allclose(
        tf.add_n(layer.losses), 2.0 * np.sum(np.square(layer.tables["item"])), rtol=1e-5
    )


def test_half_precision_computes_in_half_precision() -> None:
    layer = by_hand(dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        output = layer(FEATURES)
    assert output.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(output, tf.float32), EXPECTED)
    for gradient in tape.gradient(output, [*layer.tables.values()]):
        assert isinstance(gradient, tf.IndexedSlices)
        assert gradient.dtype == tf.float32


def test_half_precision_reads_no_whole_table() -> None:
    graph = tf.function(by_hand(dtype="mixed_bfloat16")).get_concrete_function(FEATURES)
    kinds = [operation.type for operation in graph.graph.get_operations()]
    assert kinds.count("ResourceGather") == 2
    assert "ReadVariableOp" not in kinds


def test_serialises(round_trip) -> None:
    layer = FeatureEmbedding(INPUTS, stddev=0.5, l2=0.1)
    again = round_trip(layer)
    assert (again.inputs, again.stddev, again.l2) == (INPUTS, 0.5, 0.1)


def test_a_config_serves_more_than_once() -> None:
    config = FeatureEmbedding(INPUTS).get_config()
    for _ in range(2):
        assert FeatureEmbedding.from_config(config).inputs == INPUTS


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_functional_model_is_saved(tmp_path, suffix: str) -> None:
    symbols = {
        name: keras.Input(value.shape[1:], name=name, dtype=value.dtype)
        for name, value in FEATURES.items()
    }
    model = keras.Model(symbols, FeatureEmbedding(INPUTS, stddev=1.0)(symbols))
    model.save(tmp_path / f"model.{suffix}")
    again = keras.models.load_model(tmp_path / f"model.{suffix}")
    np.testing.assert_array_equal(again(FEATURES), model(FEATURES))


def test_ids_out_of_range_are_told_by_feature() -> None:
    for name in ("item", "tags"):
        wrong = FEATURES | {name: FEATURES[name] + 3}
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"embedding.*/{name}"):
            tf.function(by_hand().__call__)(wrong)

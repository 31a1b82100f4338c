import dataclasses
import json

import pytest
import tf_keras as keras

from midpg_tf.layers import CategoricalInput, NumericInput


def test_known_ids_are_those_of_the_vocabulary() -> None:
    assert CategoricalInput("item", cardinality=10, oov_buckets=3).known == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cardinality": 2, "oov_buckets": 3}, "oov_buckets=3, cardinality=2"),
        ({"cardinality": 2, "oov_buckets": -1}, "oov_buckets=-1"),
        ({"cardinality": 0, "oov_buckets": 0}, "cardinality=0"),
        ({"cardinality": 2, "embedding": 0}, "embedding=0"),
        ({"cardinality": 4, "values": ("a", "b")}, "each of the 3 known ids, found 2"),
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

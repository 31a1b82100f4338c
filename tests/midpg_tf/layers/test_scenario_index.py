import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers import CategoricalInput, ScenarioIndex

# 2 known channels and 1 other id; 3 known regions and 2 other ids.
CHANNEL = CategoricalInput("channel", cardinality=3, values=("app", "web"))
REGION = CategoricalInput("region", cardinality=5, oov_buckets=2)


def ids(*values: int) -> tf.Tensor:
    return tf.constant(values, tf.int64)


def test_numbers_combinations() -> None:
    layer = ScenarioIndex([CHANNEL, REGION])
    # channel * 3 + region; any unknown value gives 2 * 3 = 6.
    index = layer(
        {
            "channel": ids(0, 0, 1, 1, 2, 0, 1, 2),
            "region": ids(0, 2, 0, 2, 1, 3, 4, 4),
            "price": tf.zeros(8),
        }
    )
    np.testing.assert_array_equal(index, [0, 2, 3, 5, 6, 6, 6, 6])
    assert index.dtype == tf.int64
    assert (layer.count, layer.size) == (6, 7)


def test_ids_out_of_range_are_unknown() -> None:
    # pandas codes a missing value as -1; taken for a value, (1, -1) would be 2.
    layer = ScenarioIndex([CHANNEL, REGION])
    index = layer({"channel": ids(-1, 1, 7, 1), "region": ids(1, -1, 0, 9)})
    np.testing.assert_array_equal(index, [6, 6, 6, 6])


def test_accepts_a_trailing_axis_and_int32() -> None:
    layer = ScenarioIndex([CHANNEL, REGION])
    index = layer({"channel": tf.constant([[1], [0]]), "region": ids(1, 1)})
    np.testing.assert_array_equal(index, [4, 1])


def test_decode_is_the_inverse() -> None:
    layer = ScenarioIndex([CHANNEL, REGION, CategoricalInput("hour", cardinality=5)])
    index = tf.range(layer.count, dtype=tf.int64)
    decoded = layer.decode(index)
    np.testing.assert_array_equal(decoded[0], np.repeat([0, 1], 12))
    np.testing.assert_array_equal(
        layer(dict(zip(["channel", "region", "hour"], decoded, strict=True))), index
    )


def test_decodes_unknown_as_zeros() -> None:
    decoded = ScenarioIndex([CHANNEL, REGION]).decode(ids(6, 5))
    np.testing.assert_array_equal(decoded, [[0, 1], [0, 2]])


def test_a_value_may_be_called_unknown() -> None:
    field = CategoricalInput("gender", 4, values=("f", "unknown", "(unknown)"))
    names = ScenarioIndex([field]).names
    assert names == ["f", "unknown", "(unknown)", "((unknown))"]


def test_names_are_values_or_ids() -> None:
    assert ScenarioIndex([CHANNEL, REGION]).names == [
        "app/0",
        "app/1",
        "app/2",
        "web/0",
        "web/1",
        "web/2",
        "unknown",
    ]


@pytest.mark.parametrize(
    "field",
    [
        CategoricalInput("tags", cardinality=3, multivalued=True),
        CategoricalInput("no_unknown", cardinality=3, oov_buckets=0),
        CategoricalInput("no_known", cardinality=2, oov_buckets=2),
    ],
    ids=lambda field: field.name,
)
def test_refuses_what_is_no_scenario(field: CategoricalInput) -> None:
    with pytest.raises(ValueError, match=f"expected scenario fields.*{field.name}"):
        ScenarioIndex([CHANNEL, field])


def test_serialises(round_trip) -> None:
    layer = ScenarioIndex([CHANNEL, REGION])
    again = round_trip(layer)
    assert again.fields == [CHANNEL, REGION]
    assert again.names == layer.names


def test_a_config_serves_more_than_once() -> None:
    config = ScenarioIndex([CHANNEL, REGION]).get_config()
    for _ in range(2):
        assert ScenarioIndex.from_config(config).fields == [CHANNEL, REGION]

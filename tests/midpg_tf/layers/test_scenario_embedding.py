import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import ScenarioEmbedding


def test_each_scenario_has_a_row_and_the_unknown_one_the_last() -> None:
    layer = ScenarioEmbedding(scenarios=3, width=2)
    layer.build()
    layer.table.assign([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    vectors = layer(tf.constant([2, 0, 2], tf.int64))
    np.testing.assert_array_equal(vectors, [[5.0, 6.0], [1.0, 2.0], [5.0, 6.0]])


def test_starts_with_the_given_deviation() -> None:
    for stddev in (1.0, 0.1):
        layer = ScenarioEmbedding(scenarios=200, width=50, stddev=stddev)
        layer.build()
        np.testing.assert_allclose(np.std(layer.table), stddev, rtol=0.05)


def test_trains_the_scenarios_of_the_batch_alone() -> None:
    layer = ScenarioEmbedding(scenarios=4, width=2)
    layer.build()
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer(tf.constant([3, 1, 3])))
    gradient = tf.convert_to_tensor(tape.gradient(value, layer.table))
    np.testing.assert_array_equal(gradient, [[0, 0], [1, 1], [0, 0], [2, 2]])


def test_half_precision_keeps_the_table_in_full() -> None:
    layer = ScenarioEmbedding(scenarios=4, width=2, dtype="mixed_bfloat16")
    assert layer(tf.constant([1])).dtype == tf.bfloat16
    assert layer.table.dtype == tf.float32
    # Nor is it read as a whole, to be cast.
    graph = tf.function(layer).get_concrete_function(tf.constant([1])).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "ResourceGather" in kinds
    assert "ReadVariableOp" not in kinds


def test_output_shape() -> None:
    layer = ScenarioEmbedding(scenarios=4, width=2)
    assert layer(keras.Input((), dtype=tf.int64)).shape.as_list() == [None, 2]


@pytest.mark.parametrize("size", ["scenarios", "width"])
def test_refuses_sizes_below_one(size: str) -> None:
    with pytest.raises(ValueError, match=f"{size}: expected 1 or more, found 0"):
        ScenarioEmbedding(**({"scenarios": 2, "width": 2} | {size: 0}))


def test_serialises(round_trip) -> None:
    layer = ScenarioEmbedding(4, 2, 0.5, keras.regularizers.L2(0.25))
    again = round_trip(layer)
    assert (again.scenarios, again.width, again.stddev) == (4, 2, 0.5)
    np.testing.assert_allclose(again.embeddings_regularizer.l2, 0.25)

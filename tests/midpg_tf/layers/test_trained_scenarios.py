import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers import TrainedScenarios


def ids(*values: int) -> tf.Tensor:
    return tf.constant(values, tf.int64)


EVERY = ids(0, 1, 2, 3)


def test_scenarios_without_training_rows_become_unknown() -> None:
    layer = TrainedScenarios(4)
    # Before the first step, all pass.
    np.testing.assert_array_equal(layer(EVERY), [0, 1, 2, 3])
    np.testing.assert_array_equal(layer(ids(2, 2, 1), training=True), [2, 2, 1])
    np.testing.assert_array_equal(layer(EVERY), [3, 1, 2, 3])
    np.testing.assert_array_equal(layer(ids(0), training=True), [0])
    output = layer(EVERY, training=False)
    np.testing.assert_array_equal(output, [0, 1, 2, 3])
    assert output.dtype == tf.int64


def test_one_graph_for_every_batch() -> None:
    layer = TrainedScenarios(4)
    layer.build()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def train(scenario: tf.Tensor) -> tf.Tensor:
        return layer(scenario, training=True)

    for batch in (ids(1), ids(), ids(3, 1)):
        np.testing.assert_array_equal(train(batch), batch)
    np.testing.assert_array_equal(layer.trained, [False, True, False, True])


def test_is_frozen_where_it_is_not_trainable() -> None:
    layer = TrainedScenarios(4)
    layer(ids(1), training=True)
    layer.trainable = False
    np.testing.assert_array_equal(layer(EVERY, training=True), [3, 1, 3, 3])
    np.testing.assert_array_equal(layer.trained, [False, True, False, False])


def test_marks_are_no_parameters() -> None:
    layer = TrainedScenarios(4)
    layer.build()
    assert layer.trainable_weights == []
    assert [weight.dtype for weight in layer.weights] == [tf.uint8]


def test_refuses_no_scenario() -> None:
    with pytest.raises(ValueError, match="scenarios: expected 1 or more, found 0"):
        TrainedScenarios(0)


def test_serialises(round_trip) -> None:
    again = round_trip(TrainedScenarios(3))
    assert again.scenarios == 3

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import ScenarioAffine


def test_hand_computed_output() -> None:
    layer = ScenarioAffine(2)
    layer.build((None, 2))
    layer.set_weights([np.array([[2.0, -1.0], [0.5, 3.0]]), np.array([[0, 1], [5, 0]])])
    rows = tf.constant([[1.0, 2.0], [1.0, 2.0], [4.0, 0.0]])
    output = layer(rows, tf.constant([1, 0, 1], tf.int64))
    # (.5 + 5, 6 + 0); (2 + 0, -2 + 1); (2 + 5, 0 + 0)
    np.testing.assert_allclose(output, [[5.5, 6.0], [2.0, -1.0], [7.0, 0.0]])


def test_starts_as_the_identity() -> None:
    rows = tf.random.normal((6, 3))
    output = ScenarioAffine(4)(rows, tf.constant([0, 1, 2, 3, 0, 3]))
    np.testing.assert_array_equal(output, rows)


def test_weights_and_output_shape() -> None:
    layer = ScenarioAffine(4)
    layer.build((None, 5))
    assert layer.count_params() == 2 * 4 * 5
    rows, scenario = keras.Input((5,)), keras.Input((), dtype=tf.int64)
    assert layer(rows, scenario).shape.as_list() == [None, 5]


def test_refuses_no_scenario() -> None:
    with pytest.raises(ValueError, match="scenarios: expected 1 or more, found 0"):
        ScenarioAffine(0)


def test_serialises(round_trip) -> None:
    again = round_trip(ScenarioAffine(3))
    assert again.scenarios == 3

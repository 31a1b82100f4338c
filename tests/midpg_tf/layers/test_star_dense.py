import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import StarDense

KERNEL = [[1.0, 2.0], [3.0, 4.0]]
BIAS = [10.0, -20.0]
FACTORS = [[[1.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.5, -1.0]]]
SCENARIO_BIAS = [[[0.0, 0.0]], [[1.0, 2.0]]]


def by_hand(**arguments) -> StarDense:
    layer = StarDense(2, 2, **arguments)
    layer.build((None, None, 2))
    weights = KERNEL, BIAS, FACTORS, SCENARIO_BIAS
    layer.set_weights([np.array(weight) for weight in weights])
    return layer


def test_hand_computed_output() -> None:
    rows = tf.constant([[[1.0, 1.0]], [[1.0, 1.0]], [[2.0, 0.0]]])
    scenario = tf.constant([1, 0, 1], tf.int64)
    # Scenario 1: W = [[2, 0], [1.5, -4]], b = (11, -18).
    # (1, 1): (2 + 1.5 + 11, -4 - 18); (2, 0): (4 + 11, -18).
    # Scenario 0, plain: (1 + 3 + 10, 2 + 4 - 20).
    expected = [[[14.5, -22.0]], [[14.0, -14.0]], [[15.0, -18.0]]]
    np.testing.assert_allclose(by_hand()(rows, scenario), expected, rtol=1e-6)
    output = by_hand(activation="relu")(rows, scenario)
    np.testing.assert_allclose(output, np.maximum(expected, 0), rtol=1e-6)


def test_starts_as_dense_does() -> None:
    layer = StarDense(3, 300, "relu")
    layer.build((None, None, 200))
    # Glorot's uniform: variance 2 / (200 + 300).
    np.testing.assert_allclose(np.var(layer.kernel), 2 / 500, rtol=0.05)
    dense = keras.layers.Dense(300, "relu")
    dense.build((None, 200))
    dense.set_weights([layer.kernel, layer.bias])
    rows = tf.random.normal((4, 6, 200))
    output = layer(rows, tf.constant([0, 2, 1, 2]))
    np.testing.assert_allclose(output, dense(rows), rtol=1e-5, atol=1e-5)


def test_gradients(check_gradients) -> None:
    layer = StarDense(3, 2, "tanh", dtype="float64")
    layer.build((None, None, 3))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    rows = tf.Variable(rng.normal(size=(4, 2, 3)))
    weights = tf.constant(rng.normal(size=(4, 2, 2)))

    def scalar() -> tf.Tensor:
        return tf.reduce_sum(layer(rows, tf.constant([1, 0, 1, 2])) * weights)

    check_gradients(scalar, [*layer.trainable_weights, rows])


def test_regulariser_pulls_factors_to_one() -> None:
    layer = by_hand(kernel_regularizer=keras.regularizers.L2(0.5))
    # Kernel: 1 + 4 + 9 + 16. Factors' distances from 1: 1 + 1 + .25 + 4.
    np.testing.assert_allclose(tf.add_n(layer.losses), 0.5 * (30 + 6.25))
    assert not by_hand().losses


def test_weights_and_output_shape() -> None:
    layer = StarDense(4, 3)
    layer.build((None, None, 5))
    assert layer.count_params() == (1 + 4) * (5 * 3 + 3)
    rows, scenario = keras.Input((7, 5)), keras.Input((), dtype=tf.int64)
    assert layer(rows, scenario).shape.as_list() == [None, 7, 3]


@pytest.mark.parametrize("size", ["scenarios", "units"])
def test_refuses_sizes_below_one(size: str) -> None:
    with pytest.raises(ValueError, match=f"{size}: expected 1 or more, found 0"):
        StarDense(**({"scenarios": 2, "units": 2} | {size: 0}))


def test_serialises(round_trip) -> None:
    layer = StarDense(2, 3, "relu", "he_normal", keras.regularizers.L2(0.25))
    again = round_trip(layer)
    assert again.activation is keras.activations.relu
    np.testing.assert_allclose(again.kernel_regularizer.l2, 0.25)

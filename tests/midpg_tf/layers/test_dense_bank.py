import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import DenseBank

KERNELS = [[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [-1.0, 0.0]]]
BIASES = [[[10.0, -20.0]], [[0.5, 0.0]]]


def by_hand(activation: str | None = None) -> DenseBank:
    layer = DenseBank(2, 2, activation)
    layer.build((None, None, 2))
    layer.set_weights([np.array(KERNELS), np.array(BIASES)])
    return layer


def test_hand_computed_output() -> None:
    rows = tf.constant([[[1.0, 1.0]], [[1.0, 1.0]], [[2.0, 3.0]]])
    output = by_hand()(rows, tf.constant([1, 0, 1], tf.int64))
    # Copy 1: (1, 1) gives (0 - 1 + .5, 1 + 0), (2, 3) gives (0 - 3 + .5, 2 + 0).
    # Copy 0: (1 + 3 + 10, 2 + 4 - 20).
    expected = [[[-0.5, 1.0]], [[14.0, -14.0]], [[-2.5, 2.0]]]
    np.testing.assert_allclose(output, expected, rtol=1e-6)
    # The activation comes last.
    output = by_hand("relu")(rows, tf.constant([1, 0, 1], tf.int64))
    np.testing.assert_allclose(output, np.maximum(expected, 0), rtol=1e-6)


def test_without_copies_named_each_tile_has_its_own() -> None:
    rows = tf.constant([[[1.0, 1.0]], [[2.0, 3.0]]])
    expected = [[[14.0, -14.0]], [[-2.5, 2.0]]]
    np.testing.assert_allclose(by_hand()(rows), expected, rtol=1e-6)
    # One tile goes through every copy.
    expected = [[[14.0, -14.0]], [[-0.5, 1.0]]]
    np.testing.assert_allclose(by_hand()(rows[:1]), expected, rtol=1e-6)


@pytest.mark.parametrize("initializer", ["glorot_uniform", "he_normal"])
def test_each_copy_starts_as_a_dense_of_its_own(initializer: str) -> None:
    layer = DenseBank(3, 300, kernel_initializer=initializer)
    layer.build((None, None, 200))
    # Glorot's uniform: variance 2 / (200 + 300). He's: 2 / 200.
    variance = {"glorot_uniform": 2 / 500, "he_normal": 2 / 200}[initializer]
    for kernel in layer.kernel.numpy():
        np.testing.assert_allclose(np.var(kernel), variance, rtol=0.05)
    correlation = np.corrcoef(layer.kernel.numpy().reshape(3, -1)) - np.eye(3)
    assert np.abs(correlation).max() < 0.03
    np.testing.assert_array_equal(layer.bias, np.zeros((3, 1, 300)))


def test_gradients(check_gradients) -> None:
    layer = DenseBank(3, 2, "tanh", dtype="float64")
    layer.build((None, None, 3))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    rows = tf.Variable(rng.normal(size=(4, 2, 3)))
    weights = tf.constant(rng.normal(size=(4, 2, 2)))

    def scalar() -> tf.Tensor:
        return tf.reduce_sum(layer(rows, tf.constant([1, 0, 1, 2])) * weights)

    check_gradients(scalar, [*layer.trainable_weights, rows])


def test_regulariser_acts_on_all_copies() -> None:
    layer = DenseBank(2, 2, kernel_regularizer=keras.regularizers.L2(0.5))
    layer.build((None, None, 2))
    layer.set_weights([np.array(KERNELS), np.array(BIASES)])
    # 0.5 * (1 + 4 + 9 + 16 + 1 + 1)
    np.testing.assert_allclose(tf.add_n(layer.losses), 16.0)


def test_weights_and_output_shape() -> None:
    layer = DenseBank(4, 3)
    layer.build((None, None, 5))
    assert layer.count_params() == 4 * (5 * 3 + 3)
    rows, copy = keras.Input((7, 5)), keras.Input((), dtype=tf.int64)
    assert layer(rows, copy).shape.as_list() == [None, 7, 3]
    one_tile = keras.Input((7, 5), batch_size=1)
    assert layer(one_tile).shape.as_list() == [4, 7, 3]


@pytest.mark.parametrize("size", ["copies", "units"])
def test_refuses_sizes_below_one(size: str) -> None:
    with pytest.raises(ValueError, match=f"{size}: expected 1 or more, found 0"):
        DenseBank(**({"copies": 2, "units": 2} | {size: 0}))


def test_serialises(round_trip) -> None:
    regularizer = keras.regularizers.L2(0.25)
    layer = DenseBank(2, 3, "relu", "he_normal", regularizer, by_scenario=True)
    again = round_trip(layer)
    assert again.by_scenario
    assert again.activation is keras.activations.relu
    np.testing.assert_allclose(again.kernel_regularizer.l2, 0.25)

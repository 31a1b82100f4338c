import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import Adapter


def randomised(adapter: Adapter, width: int = 4, rank: int = 2) -> Adapter:
    adapter.build([(None, width), (None, rank, rank)])
    rng = np.random.default_rng(1)
    adapter.set_weights([rng.normal(size=w.shape) for w in adapter.weights])
    return adapter


def test_hand_computed_output() -> None:
    adapter = Adapter(bottleneck=1)
    adapter.build([(None, 1), (None, 2, 2)])
    adapter.set_weights(
        [
            np.array([[1.0, 2.0]]),  # U1
            np.array([[1.0], [1.0]]),  # V1
            np.array([-2.0]),
            np.array([[4.0, 0.0]]),  # U2
            np.array([[1.0], [0.5]]),  # V2
            np.array([0.25]),
        ]
    )
    core = [[0.0, 1.0], [3.0, 0.0]]
    output = adapter([tf.constant([[2.0]]), tf.constant([core])])
    # U1 I = (6, 1) and W1 = 7; sigmoid(14 - 2). U2 I = (0, 4) and W2 = 2.
    middle = 1 / (1 + np.exp(-12.0))
    np.testing.assert_allclose(output, [[2 * middle + 0.25]], rtol=1e-6)


def test_equals_kernels_of_each_row() -> None:
    adapter = randomised(Adapter(bottleneck=3))
    rng = np.random.default_rng(2)
    rows, cores = rng.normal(size=(5, 4)), rng.normal(size=(5, 2, 2))
    (left, right, bias), (up_left, up_right, up_bias) = (
        [weight.numpy() for weight in weights] for weights in (adapter.down, adapter.up)
    )
    expected = []
    for row, core in zip(rows, cores, strict=True):
        middle = 1 / (1 + np.exp(-(row @ (left @ core @ right) + bias)))
        expected.append(middle @ (up_left @ core @ up_right) + up_bias)
    output = adapter([tf.constant(rows, tf.float32), tf.constant(cores, tf.float32)])
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_gradients(check_gradients) -> None:
    adapter = randomised(Adapter(bottleneck=2, dtype="float64"), width=3)
    rng = np.random.default_rng(3)
    rows = tf.Variable(rng.normal(size=(4, 3)))
    cores = tf.Variable(rng.normal(size=(4, 2, 2)))
    weights = tf.constant(rng.normal(size=(4, 3)))
    check_gradients(
        lambda: tf.reduce_sum(adapter([rows, cores]) * weights),
        [*adapter.trainable_weights, rows, cores],
    )


def test_regulariser_spares_the_biases() -> None:
    adapter = randomised(Adapter(3, kernel_regularizer=keras.regularizers.L2(0.5)))
    squares = [np.sum(np.square(weight)) for weight in adapter.get_weights()]
    expected = 0.5 * (sum(squares) - squares[2] - squares[5])
    np.testing.assert_allclose(tf.add_n(adapter.losses), expected, rtol=1e-5)


def test_weights_and_output_shape() -> None:
    adapter = randomised(Adapter(bottleneck=3))
    # Down 4 * 2, 2 * 3 and 3; up 3 * 2, 2 * 4 and 4.
    assert adapter.count_params() == 8 + 6 + 3 + 6 + 8 + 4
    output = adapter([keras.Input((4,)), keras.Input((2, 2))])
    assert output.shape.as_list() == [None, 4]


def test_refuses_no_bottleneck() -> None:
    with pytest.raises(ValueError, match="bottleneck: expected 1 or more, found 0"):
        Adapter(0)


def test_an_initializer_draws_each_factor_anew() -> None:
    adapter = Adapter(4, keras.initializers.HeNormal())
    adapter.build([(None, 4), (None, 4, 4)])
    factors = [*adapter.down[:2], *adapter.up[:2]]
    assert len({factor.numpy().tobytes() for factor in factors}) == 4


def test_serialises(round_trip) -> None:
    adapter = Adapter(5, keras.initializers.HeNormal(), keras.regularizers.L2(0.25))
    again = round_trip(adapter)
    assert again.bottleneck == 5
    assert isinstance(again.kernel_initializer, keras.initializers.HeNormal)
    np.testing.assert_allclose(again.kernel_regularizer.l2, 0.25)

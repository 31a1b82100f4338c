import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import GateUnit


def by_hand() -> GateUnit:
    unit = GateUnit(2, hidden=2)
    unit.build((None, 2))
    unit.set_weights(
        [
            np.array([[1.0, -1.0], [2.0, 0.0]]),
            np.array([0.5, 0.0]),
            np.array([[0.2, -0.4], [1.0, 1.0]]),
            np.array([0.0, 0.1]),
        ]
    )
    return unit


def test_hand_computed_gates() -> None:
    gates = by_hand()(tf.constant([[1.0, 0.5], [-1.0, -1.0]]))
    # (1, .5): relu(1 + 1 + .5, -1) = (2.5, 0), scores (.5, -1 + .1).
    # (-1, -1): relu(-3 + .5, 1) = (0, 1), scores (1, 1.1).
    scores = np.array([[0.5, -0.9], [1.0, 1.1]])
    np.testing.assert_allclose(gates, 2 / (1 + np.exp(-scores)), rtol=1e-6)


def test_a_second_layer_of_zeros_changes_nothing() -> None:
    unit = by_hand()
    for weight in unit.second.weights:
        weight.assign(tf.zeros_like(weight))
    np.testing.assert_array_equal(unit(tf.random.normal((7, 2))), np.ones((7, 2)))


def test_gates_stay_between_zero_and_two() -> None:
    gates = GateUnit(50)(tf.random.normal((100, 20), stddev=30)).numpy()
    assert 0 <= gates.min() < 0.1
    assert 1.9 < gates.max() <= 2


def test_gradients(check_gradients) -> None:
    unit = GateUnit(2, hidden=3, dtype="float64")
    unit.build((None, 2))
    prior = tf.Variable(np.random.default_rng(1).normal(size=(4, 2)))
    weights = tf.constant(np.random.default_rng(2).normal(size=(4, 2)))
    # Every hidden neuron is active for some row.
    unit.first.bias.assign([0.5, 0.5, 0.5])
    check_gradients(
        lambda: tf.reduce_sum(unit(prior) * weights), [*unit.trainable_weights, prior]
    )


def test_regulariser_acts_on_both_kernels() -> None:
    unit = GateUnit(2, hidden=2, kernel_regularizer=keras.regularizers.L2(0.5))
    unit.build((None, 2))
    unit.set_weights(by_hand().get_weights())
    # 0.5 * (1 + 1 + 4), and 0.5 * (.04 + .16 + 1 + 1).
    np.testing.assert_allclose(tf.add_n(unit.losses), 3.0 + 1.1, rtol=1e-6)


def test_weights_and_output_shape() -> None:
    unit = GateUnit(3, hidden=4)
    unit.build((None, 5))
    assert unit.count_params() == 5 * 4 + 4 + 4 * 3 + 3
    assert unit(keras.Input((5,))).shape.as_list() == [None, 3]


@pytest.mark.parametrize("size", ["units", "hidden"])
def test_refuses_sizes_below_one(size: str) -> None:
    with pytest.raises(ValueError, match=f"{size}: expected 1 or more, found 0"):
        GateUnit(**({"units": 2, "hidden": 2} | {size: 0}))


def test_an_initializer_draws_each_kernel_anew() -> None:
    unit = GateUnit(3, 3, keras.initializers.HeNormal())
    unit.build((None, 3))
    assert not np.array_equal(unit.first.kernel, unit.second.kernel)


def test_serialises(round_trip) -> None:
    unit = GateUnit(3, 4, keras.initializers.HeNormal(), keras.regularizers.L2(0.25))
    again = round_trip(unit)
    assert (again.units, again.hidden) == (3, 4)
    assert isinstance(again.first.kernel_initializer, keras.initializers.HeNormal)
    np.testing.assert_allclose(again.second.kernel_regularizer.l2, 0.25)

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers import NeuronPruner


def sigmoid(value: float) -> float:
    return 1 / (1 + np.exp(-value))


def test_scales_and_prunes() -> None:
    factors = NeuronPruner(alpha=2.0, beta=3.0, epsilon=0.5)(
        tf.constant([[0.0, 1.0, -0.7], [-1.0, 40.0, -40.0]])
    )
    # 3 sigmoid(-1.4) = 0.594 stays, 3 sigmoid(-2) = 0.358 goes.
    expected = [[1.5, 3 * sigmoid(2), 3 * sigmoid(-1.4)], [0.0, 3.0, 0.0]]
    np.testing.assert_allclose(factors, expected, rtol=1e-6)
    assert np.count_nonzero(factors) == 4


def test_scores_of_zero_change_nothing() -> None:
    np.testing.assert_array_equal(NeuronPruner()(tf.zeros((3, 4))), np.ones((3, 4)))


def test_pruned_neurons_can_come_back() -> None:
    scores = tf.Variable([1.0, -3.0])
    with tf.GradientTape() as tape:
        factors = NeuronPruner()(scores)
        value = tf.reduce_sum(factors * tf.constant([1.0, 5.0]))
    # 2 sigmoid(-3) = 0.095 is pruned; either has the slope of 2 sigmoid.
    assert factors[1] == 0
    slope = [2 * sigmoid(v) * sigmoid(-v) for v in (1.0, 3.0)]
    np.testing.assert_allclose(
        tape.gradient(value, scores), [slope[0], 5 * slope[1]], rtol=1e-5
    )


def test_steeper_is_closer_to_a_choice() -> None:
    scores = tf.constant([-0.5, 0.5])
    np.testing.assert_allclose(NeuronPruner(alpha=100.0)(scores), [0.0, 2.0], atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"alpha": 0.0}, {"epsilon": 2.0}, {"beta": 0.2}], ids=str
)
def test_refuses_settings_that_prune_all_or_nothing(settings) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=rf"expected finite alpha > 0.*{name}={value}"):
        NeuronPruner(**settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"epsilon": -0.1}, "epsilon: expected 0 or more, found -0.1"),
        ({"alpha": float("nan")}, "alpha: expected a finite number, found nan"),
        ({"beta": float("inf")}, "beta: expected a finite number, found inf"),
    ],
    ids=str,
)
def test_refuses_settings_that_are_no_numbers_from_zero_on(settings, told) -> None:
    with pytest.raises(ValueError, match=f"^{told}$"):
        NeuronPruner(**settings)


def test_serialises(round_trip) -> None:
    layer = NeuronPruner(3.0, 4.0, 0.5)
    again = round_trip(layer)
    assert (again.alpha, again.beta, again.epsilon) == (3.0, 4.0, 0.5)

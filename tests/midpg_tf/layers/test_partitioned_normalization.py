from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import PartitionedNormalization

RNG = np.random.default_rng(5)
# Copy 1 has a single row, copy 3 none.
SCENARIO = np.array([0, 2, 0, 1, 2, 0, 2, 2])
ROWS = RNG.normal([1.0, -3.0], [0.5, 4.0], (8, 2)).astype(np.float32)


def make(**arguments) -> PartitionedNormalization:
    layer = PartitionedNormalization(4, **arguments)
    layer.build((None, 2))
    return layer


def standardised(rows: np.ndarray, own: np.ndarray, epsilon: float) -> np.ndarray:
    """Rows by the mean and the variance of the scenario's own ones."""
    return (rows - own.mean(axis=0)) / np.sqrt(own.var(axis=0) + epsilon)


def test_each_scenario_has_the_statistics_of_its_rows() -> None:
    output = make(prior_rows=0)(ROWS, SCENARIO, training=True)
    for scenario in (0, 1, 2):
        own = ROWS[np.equal(SCENARIO, scenario)]
        np.testing.assert_allclose(
            output[np.equal(SCENARIO, scenario)],
            standardised(own, own, epsilon=1e-3),
            rtol=1e-4,
            atol=1e-4,
        )
    # A single row is its own mean.
    np.testing.assert_allclose(output[3], [0.0, 0.0], atol=1e-5)


def test_scale_and_shift_are_shared_and_specific() -> None:
    layer = make(prior_rows=0)
    plain = layer(ROWS, SCENARIO, training=True).numpy()
    gammas, betas = RNG.normal(size=(4, 2)), RNG.normal(size=(4, 2))
    layer.gamma.assign([2.0, -1.0])
    layer.beta.assign([0.5, 3.0])
    layer.scenario_gamma.assign(gammas)
    layer.scenario_beta.assign(betas)
    np.testing.assert_allclose(
        layer(ROWS, SCENARIO, training=True),
        plain * [2.0, -1.0] * gammas[SCENARIO] + [0.5, 3.0] + betas[SCENARIO],
        rtol=1e-4,
        atol=1e-5,
    )


def test_prior_rows_are_distributed_as_the_whole_batch() -> None:
    # As if every scenario had 16 more rows: each of the batch's twice.
    output = make()(ROWS, SCENARIO, training=True).numpy()
    for scenario in (0, 1, 2):
        own = ROWS[np.equal(SCENARIO, scenario)]
        joined = np.concatenate([own, ROWS, ROWS])
        expected = standardised(own, joined, epsilon=1e-3)
        np.testing.assert_allclose(
            output[np.equal(SCENARIO, scenario)], expected, rtol=1e-4, atol=1e-4
        )
    # The single row still says something.
    assert np.abs(output[3]).min() > 0.05


def test_inference_after_one_batch_is_as_in_training() -> None:
    for prior_rows in (0.0, 16.0):
        layer = make(prior_rows=prior_rows)
        output = layer(ROWS, SCENARIO, training=True)
        np.testing.assert_allclose(layer(ROWS, SCENARIO), output, rtol=1e-4, atol=1e-5)


def test_moving_statistics_weigh_rows_and_forget() -> None:
    layer = make(prior_rows=0, momentum=0.5)
    other = RNG.normal(size=(4, 2)).astype(np.float32)
    layer(ROWS, SCENARIO, training=True)
    layer(other, np.array([1, 1, 0, 1]), training=True)
    output = layer(ROWS, SCENARIO, training=False)
    # Copy 1: the older batch's only row at half the weight of three newer ones; copy
    # 0: three older ones, and one newer; copy 2: the older batch's alone.
    for scenario, newer in ((0, [2]), (1, [0, 1, 3]), (2, [])):
        own = ROWS[np.equal(SCENARIO, scenario)]
        joined = np.concatenate([own, *[other[newer]] * 2])
        np.testing.assert_allclose(
            output[np.equal(SCENARIO, scenario)],
            standardised(own, joined, epsilon=1e-3),
            rtol=1e-4,
            atol=1e-4,
        )


def test_inference_changes_nothing() -> None:
    layer = make()
    layer(ROWS, SCENARIO, training=True)
    before = [weight.copy() for weight in layer.get_weights()]
    first = layer(ROWS, SCENARIO)
    np.testing.assert_array_equal(layer(ROWS[:3], SCENARIO[:3]), first[:3])
    for weight, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_frozen_layer_runs_as_in_inference() -> None:
    layer = make()
    layer(ROWS, SCENARIO, training=True)
    layer.trainable = False
    before = layer.get_weights()
    output = layer(ROWS * 2, SCENARIO, training=True)
    np.testing.assert_array_equal(output, layer(ROWS * 2, SCENARIO, training=False))
    for weight, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_scenario_that_training_never_saw_has_the_statistics_of_all() -> None:
    layer = make()
    layer(ROWS, SCENARIO, training=True)
    output = layer(ROWS, np.full(8, 3))
    np.testing.assert_allclose(
        output, standardised(ROWS, ROWS, epsilon=1e-3), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("prior_rows", [0.0, 16.0])
def test_neutral_before_training(prior_rows: float) -> None:
    layer = make(prior_rows=prior_rows, epsilon=0.0)
    np.testing.assert_allclose(layer(ROWS, SCENARIO), ROWS, rtol=1e-6)
    # A batch without rows leaves it so.
    assert layer(ROWS[:0], SCENARIO[:0], training=True).shape == (0, 2)
    np.testing.assert_allclose(layer(ROWS, SCENARIO), ROWS, rtol=1e-6)


def test_constant_features_stay_finite() -> None:
    layer = make()
    rows = np.full((8, 2), 1_000.1, np.float32)
    for training in (True, False):
        output = layer(rows, SCENARIO, training=training)
        # Rounding of the squares leaves at most their 2^-24th as variance.
        np.testing.assert_allclose(output, np.zeros((8, 2)), atol=0.01)


def test_statistics_in_half_precision_do_not_overflow(policy) -> None:
    policy("mixed_float16")
    layer = make(prior_rows=0)
    # Squares are above float16's 65,504.
    rows = tf.constant(ROWS * 1_000, tf.float16)
    output = layer(rows, SCENARIO, training=True)
    assert output.dtype == tf.float16
    own = rows.numpy()[np.equal(SCENARIO, 2)].astype(float)
    np.testing.assert_allclose(
        output[np.equal(SCENARIO, 2)], standardised(own, own, epsilon=1e-3), atol=2e-3
    )


@pytest.mark.parametrize("prior_rows", [0.0, 3.0])
def test_gradients(check_gradients, prior_rows: float) -> None:
    layer = make(prior_rows=prior_rows, dtype="float64")
    for weight in layer.trainable_weights:
        weight.assign(RNG.normal(size=weight.shape))
    rows = tf.Variable(ROWS.astype(float))
    weights = tf.constant(RNG.normal(size=(8, 2)))

    def scalar() -> tf.Tensor:
        output = layer(rows, tf.constant(SCENARIO), training=True)
        return tf.reduce_sum(output * weights)

    check_gradients(scalar, [*layer.trainable_weights, rows])


def test_one_graph_for_every_batch() -> None:
    layer = make()
    traces = []

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32),
            tf.TensorSpec([None], tf.int64),
        ]
    )
    def train(rows: tf.Tensor, scenario: tf.Tensor) -> tf.Tensor:
        traces.append(1)
        return layer(rows, scenario, training=True)

    for batch in (8, 3, 0):
        output = train(ROWS[:batch], SCENARIO[:batch])
        assert np.isfinite(output).all()
    assert len(traces) == 1
    # Three batches of 8, 3 and 0 rows: 8 * .99^2 + 3 * .99.
    rows = layer.moving_sums.rows.numpy().sum()
    np.testing.assert_allclose(rows, 8 * 0.9801 + 3 * 0.99, rtol=1e-5)


def test_weights() -> None:
    layer = make()
    # Scale and shift, shared and of four scenarios; three sums each, and the batches.
    assert sum(map(np.size, layer.trainable_weights)) == 2 * 2 * (1 + 4)
    assert sum(map(np.size, layer.non_trainable_weights)) == 4 * (1 + 2 + 2) + 1
    rows, scenario = keras.Input((2,)), keras.Input((), dtype=tf.int64)
    assert layer(rows, scenario).shape.as_list() == [None, 2]


@pytest.mark.parametrize(
    "wrong",
    [{"scenarios": 0}, {"momentum": 1.0}, {"epsilon": -1.0}, {"prior_rows": -1.0}],
)
def test_refuses_values_out_of_range(wrong: dict[str, float]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}: expected .*, found {value}"):
        PartitionedNormalization(**{"scenarios": 2} | wrong)


def test_serialises(round_trip) -> None:
    layer = PartitionedNormalization(3, momentum=0.5, epsilon=0.25, prior_rows=2.0)
    again = round_trip(layer)
    assert (again.scenarios, again.momentum) == (3, 0.5)
    assert (again.epsilon, again.prior_rows) == (0.25, 2.0)

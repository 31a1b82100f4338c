import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.losses import MutualInformation, barber_agakov_bound
from midpg_tf.metrics import matrix_diversity

QUARTERS = tf.constant([0.25, 0.75])
# In nats: ln(4) / 4 + 3 ln(4 / 3) / 4.
ENTROPY = math.log(4) / 4 + 0.75 * math.log(4 / 3)


def randomised(layer: MutualInformation, seed: int = 1) -> MutualInformation:
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


class TestBarberAgakovBound:
    def test_hand_computed(self) -> None:
        # q gives the true scenario 1/2 and 1/3:
        # H - ln(2) / 4 - 3 ln(3) / 4 = 0.562335 - 0.173287 - 0.823959.
        bound = barber_agakov_bound(QUARTERS, tf.math.log([1 / 2, 1 / 3]))
        np.testing.assert_allclose(bound, -0.434911, atol=1e-6)

    def test_perfect_q_gives_the_entropy(self) -> None:
        np.testing.assert_allclose(
            barber_agakov_bound(QUARTERS, tf.zeros(2)), ENTROPY, rtol=1e-6
        )

    def test_q_that_ignores_the_matrices_gives_at_most_zero(self) -> None:
        # The best such q is p itself (Gibbs' inequality).
        best = barber_agakov_bound(QUARTERS, tf.math.log(QUARTERS))
        np.testing.assert_allclose(best, 0, atol=1e-7)
        assert barber_agakov_bound(QUARTERS, tf.math.log([0.3, 0.7])) < 0

    def test_scenarios_without_rows_do_not_count(self) -> None:
        bound = barber_agakov_bound(
            tf.constant([0.25, 0.75, 0.0]), tf.constant([0.0, 0.0, -1e9])
        )
        np.testing.assert_allclose(bound, ENTROPY, rtol=1e-6)


def by_hand(sizes: list[int]) -> tuple[MutualInformation, list[tf.Tensor]]:
    """One layer of 2 rows and 1 unit, sketches of one number, two scenarios."""
    layer = MutualInformation(sizes, sketch=1, noise_stddev=0.1)
    layer.build([(None, 2, 1)])
    layer.projection.assign([[math.sqrt(2)], [2 * math.sqrt(2)]])
    layer.kernels[0].assign([[-1.0, 1.0]])
    layer.biases[0].assign([2.0, 0.0])
    return layer, [tf.constant([[[1.1], [1.0]], [[1.0], [1.2]]])]


def test_hand_computed_estimate() -> None:
    layer, matrices = by_hand([2])
    # (m - 1) P / sqrt(2): .1 * sqrt(2) / sqrt(2) = .1 and .2 * 2 = .4; in
    # units of the noise, 1 and 4. Logits (-1 + 2, 1) = (1, 1) and (-4 + 2, 4) =
    # (-2, 4), so log q = -ln(2) and -ln(1 + exp(-6)).
    estimate = layer(matrices, [tf.constant([0, 1])], QUARTERS)
    expected = ENTROPY - math.log(2) / 4 - 0.75 * math.log1p(math.exp(-6))
    np.testing.assert_allclose(estimate, expected, rtol=1e-5)


def test_several_fields_add_their_log_probabilities() -> None:
    layer, matrices = by_hand([2, 4])
    layer.kernels[1].assign(tf.zeros((1, 4)))
    # The second field's q is uniform over 4: ln(4) less than above.
    estimate = layer(matrices, [tf.constant([0, 1]), tf.constant([3, 0])], QUARTERS)
    expected = ENTROPY - math.log(2) / 4 - 0.75 * math.log1p(math.exp(-6)) - math.log(4)
    np.testing.assert_allclose(estimate, expected, rtol=1e-5)


def test_sketch_has_the_mean_square_of_the_entries() -> None:
    layer = MutualInformation([2], sketch=4096, noise_stddev=1.0)
    layer.build([(None, 30, 20), (None, 5, 1)])
    rng = np.random.default_rng(5)
    first, second = rng.normal(scale=0.3, size=(1, 30, 20)), np.full((1, 5, 1), 2.0)
    seen = layer.see([tf.constant(1 + m, tf.float32) for m in (first, second)])
    assert seen.shape == (1, 4096)
    expected = (np.square(first).sum() + np.square(second).sum()) / 605
    np.testing.assert_allclose(np.mean(np.square(seen)), expected, rtol=0.1)


@pytest.mark.parametrize("training", [True, False])
def test_never_above_the_entropy(training: bool) -> None:
    layer = MutualInformation([3, 2])
    layer.build([(None, 4, 3), (None, 5, 2)])
    ids = [tf.constant([0, 1, 2, 2]), tf.constant([0, 1, 0, 1])]
    rng = np.random.default_rng(4)
    for seed in range(20):
        randomised(layer, seed)
        shares = rng.dirichlet(np.ones(4)).astype(np.float32)
        matrices = [
            tf.constant(rng.normal(1, 1, (4, *shape)), tf.float32)
            for shape in ((4, 3), (5, 2))
        ]
        estimate = layer(matrices, ids, tf.constant(shares), training=training)
        assert estimate <= -np.sum(shares * np.log(shares)) + 1e-6


def test_equal_matrices_tell_nothing() -> None:
    layer = MutualInformation([3], sketch=16)
    layer.build([(None, 4, 3)])
    matrices = [tf.tile(tf.random.normal((1, 4, 3)), (3, 1, 1))]
    shares = tf.constant([0.5, 0.3, 0.2])
    variables = layer.trainable_weights
    optimizer = keras.optimizers.legacy.Adam(0.1)
    estimates = []
    for _ in range(100):
        with tf.GradientTape() as tape:
            loss = -layer(matrices, [tf.range(3)], shares)
        estimates.append(float(-loss))
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    # The best q can't but give each scenario its share: H - H = 0.
    assert max(estimates) < 1e-5
    np.testing.assert_allclose(estimates[-1], 0, atol=1e-2)


def test_scenarios_without_rows_change_nothing() -> None:
    # With less noise, gradients would be sums of terms of the order of 10.
    layer = MutualInformation([4], noise_stddev=1.0)
    layer.build([(None, 4, 3)])
    matrices = tf.random.normal((3, 4, 3))
    ids = tf.constant([0, 1, 2])

    def value_and_gradients(matrices, ids, shares):
        with tf.GradientTape() as tape:
            tape.watch(matrices)
            estimate = layer([matrices], [ids], shares)
        return estimate, *tape.gradient(estimate, [matrices, *layer.trainable_weights])

    alone = value_and_gradients(matrices[:2], ids[:2], QUARTERS)
    among = value_and_gradients(matrices, ids, tf.constant([0.25, 0.75, 0.0]))
    np.testing.assert_allclose(alone[0], among[0], rtol=1e-6)
    np.testing.assert_allclose(alone[1], among[1][:2], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(among[1][2], np.zeros((4, 3)))
    for one, other in zip(alone[2:], among[2:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_gradients_reach_the_matrices(check_gradients) -> None:
    layer = MutualInformation([2, 2], sketch=2, noise_stddev=0.5)
    layer.build([(None, 3, 2), (None, 2, 1)])
    randomised(layer)
    rng = np.random.default_rng(3)
    matrices = [
        tf.Variable(rng.normal(1, 0.3, shape), dtype=tf.float32)
        for shape in ((2, 3, 2), (2, 2, 1))
    ]

    def scalar() -> tf.Tensor:
        return layer(matrices, [tf.constant([0, 1]), tf.constant([1, 1])], QUARTERS)

    # In float32, hence the large step and tolerance.
    check_gradients(
        scalar, [*matrices, *layer.trainable_weights], step=1e-2, tolerance=2e-3
    )


def test_maximising_it_pulls_matrices_apart() -> None:
    layer = MutualInformation([3], noise_stddev=0.1)
    layer.build([(None, 6, 5)])
    matrices = tf.Variable(1 + 0.01 * tf.random.normal((3, 6, 5)))
    shares = tf.fill([3], 1 / 3)
    variables = [matrices, *layer.trainable_weights]
    optimizer = keras.optimizers.legacy.Adam(0.01)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = -layer([matrices], [tf.range(3)], shares, training=True)
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return -loss

    before = matrix_diversity(matrices)
    estimates = [float(step()) for _ in range(200)]
    assert before < 0.02
    assert matrix_diversity(matrices) > 0.1  # the noise
    # ln(3) = 1.0986 is all that there is to know.
    assert 0.9 * math.log(3) < np.mean(estimates[-20:]) <= math.log(3)


def test_noise_only_in_training() -> None:
    layer = MutualInformation([2])
    layer.build([(None, 3, 2)])
    arguments = [tf.random.normal((2, 3, 2))], [tf.constant([0, 1])], QUARTERS
    assert float(layer(*arguments)) == float(layer(*arguments, training=False))
    draws = {float(layer(*arguments, training=True)) for _ in range(3)}
    assert len(draws) == 3


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_computes_in_single_precision_under_mixed_policies(policy, name: str) -> None:
    matrices = [tf.cast(tf.random.normal((2, 3, 2)), tf.float16)]
    arguments = [tf.constant([0, 1])], QUARTERS
    single = MutualInformation([2])
    expected = single(matrices, *arguments)
    policy(name)
    mixed = MutualInformation([2])
    mixed.build([(None, 3, 2)])
    mixed.set_weights(single.get_weights())
    estimate = mixed(matrices, *arguments)
    assert estimate.dtype == tf.float32
    np.testing.assert_allclose(estimate, expected, rtol=1e-6)


def test_projections_are_not_trained() -> None:
    layer = MutualInformation([5, 2], sketch=3)
    layer.build([(None, 10, 7), (None, 8, 1)])
    # P for the matrices' entries; a kernel of 3 inputs and a bias a field.
    assert sum(map(np.size, layer.non_trainable_weights)) == 3 * (10 * 7 + 8 * 1)
    assert sum(map(np.size, layer.trainable_weights)) == (3 + 1) * (5 + 2)


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ({"sizes": [3, 0]}, r"sizes\[1\]: expected 1 or more, found 0"),
        ({"sketch": 0}, "sketch: expected 1 or more, found 0"),
        ({"noise_stddev": 0.0}, "noise_stddev: expected .* above 0, found 0.0"),
    ],
)
def test_refuses_what_is_not_positive(argument: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MutualInformation(**({"sizes": [3]} | argument))


def test_serialises(round_trip) -> None:
    layer = MutualInformation([3, 2], sketch=2, noise_stddev=0.5)
    again = round_trip(layer)
    assert (again.sizes, again.sketch, again.noise_stddev) == ([3, 2], 2, 0.5)


def test_a_functional_model_of_one_matrix_is_saved(tmp_path) -> None:
    matrices, probabilities = keras.Input((4, 3)), keras.Input(())
    ids = keras.Input((), dtype="int64")
    estimate = MutualInformation([3])([matrices], [ids], probabilities)
    model = keras.Model([matrices, ids, probabilities], estimate)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    given = [tf.random.normal((2, 4, 3)), tf.constant([0, 2], tf.int64), QUARTERS]
    np.testing.assert_array_equal(again(given), model(given))

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import WeightingMatrix, Weights
from midpg_tf.layers.weighting_matrix import Factors

# One input (and the bias' row), two units, rank 2, a context of width 2.
LEFT = [[1.0, 0.0], [2.0, 1.0]]
RIGHT = [[1.0, 2.0], [0.0, 1.0]]
CORE = [[0.1, 0.0, 0.0, 0.0], [0.0, 0.05, 0.0, 0.05]]
# z = (1, 2) gives z G = (.1, .1, 0, .1), so C = [[.1, .1], [0, .1]],
# U C = [[.1, .1], [.2, .3]] and U C V = [[.1, .3], [.2, .7]].
CONTEXT = [1.0, 2.0]
LOW_RANK = [[0.1, 0.3], [0.2, 0.7]]


def by_hand(activation: str) -> WeightingMatrix:
    layer = WeightingMatrix(input_dim=1, units=2, rank=2, activation=activation)
    layer.build((None, 2))
    layer.left.assign(LEFT)
    layer.right.assign(RIGHT)
    layer.core.assign(CORE)
    return layer


def whole(weights: Weights) -> tf.Tensor:
    return tf.concat(weights, axis=1)


def randomised(layer: WeightingMatrix) -> WeightingMatrix:
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("linear", [[1.1, 1.3], [1.2, 1.7]]),
        # 2 / (1 + exp(-R)) of each entry.
        ("sigmoid", [[1.049958, 1.148885], [1.099668, 1.336376]]),
    ],
)
def test_hand_computed_matrix(activation: str, expected: list[list[float]]) -> None:
    matrices = whole(
        by_hand(activation)(
            tf.constant([CONTEXT, [0.0, 0.0]]), tf.constant([True, True])
        )
    )
    np.testing.assert_allclose(matrices[0], expected, rtol=1e-6)
    # A context of zeros has a core of zeros.
    np.testing.assert_array_equal(matrices[1], np.ones((2, 2)))


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_exactly_neutral_at_initialisation(activation: str) -> None:
    layer = WeightingMatrix(5, 3, rank=4, activation=activation)
    matrices = whole(layer(tf.random.normal((7, 6), stddev=10), tf.fill([7], True)))
    np.testing.assert_array_equal(matrices, np.ones((7, 6, 3)))


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_exactly_neutral_for_unknown_whatever_the_weights(activation: str) -> None:
    layer = WeightingMatrix(5, 3, rank=4, activation=activation)
    layer.build((None, 6))
    randomised(layer)
    matrices = whole(layer(tf.random.normal((2, 6)), tf.constant([False, True])))
    np.testing.assert_array_equal(matrices[0], np.ones((6, 3)))
    assert np.abs(matrices[1] - 1).min() > 1e-4


def test_low_rank_before_the_activation() -> None:
    layer = WeightingMatrix(20, 10, rank=3, activation="linear")
    layer.build((None, 6))
    randomised(layer)
    matrix = whole(layer(tf.random.normal((1, 6)), tf.constant([True])))[0]
    assert np.linalg.matrix_rank(matrix - 1, tol=1e-3) == 3


def test_sigmoid_stays_between_zero_and_two() -> None:
    layer = WeightingMatrix(20, 10, rank=8, activation="sigmoid")
    layer.build((None, 6))
    randomised(layer)
    matrices = whole(layer(tf.random.normal((5, 6)) * 10, tf.fill([5], True))).numpy()
    assert 0 <= matrices.min() < 0.1
    assert 1.9 < matrices.max() <= 2


def test_weights() -> None:
    layer = WeightingMatrix(input_dim=5, units=3, rank=4)
    layer.build((None, 6))
    # left (5 + 1) * 4, right 4 * 3, core 6 * 4 * 4.
    assert layer.count_params() == 24 + 12 + 96
    assert len(layer.trainable_weights) == 3
    weights = layer(tf.ones((9, 6)), tf.fill([9], True))
    assert weights.kernel.shape == (9, 5, 3)
    assert weights.bias.shape == (9, 1, 3)


def test_starts_with_entries_of_the_cores_size() -> None:
    # R of a core of standard normal entries has a variance of 1, whatever the rank.
    for rank in (2, 32):
        layer = WeightingMatrix(200, 200, rank=rank, activation="linear")
        layer.build((None, rank * rank))
        layer.core.assign(np.eye(rank * rank))
        matrices = whole(
            layer(tf.random.normal((20, rank * rank)), tf.fill([20], True))
        )
        assert 0.6 < np.std(matrices) < 1.6


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_gradients(activation: str, check_gradients) -> None:
    layer = WeightingMatrix(2, 3, rank=2, activation=activation, dtype="float64")
    layer.build((None, 2))
    randomised(layer)
    rng = np.random.default_rng(2)
    context = tf.Variable(rng.normal(size=(3, 2)))
    weights = tf.constant(rng.normal(size=(3, 3, 3)))

    def scalar() -> tf.Tensor:
        return tf.reduce_sum(whole(layer(context, tf.constant([True] * 3))) * weights)

    check_gradients(scalar, [*layer.trainable_weights, context])


def test_unknown_scenarios_train_nothing() -> None:
    layer = WeightingMatrix(2, 3, rank=2)
    layer.build((None, 2))
    randomised(layer)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(whole(layer(tf.ones((1, 2)), tf.constant([False]))))
    for gradient in tape.gradient(value, layer.trainable_weights):
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


@pytest.mark.parametrize("size", ["input_dim", "units", "rank"])
def test_refuses_sizes_below_one(size: str) -> None:
    with pytest.raises(ValueError, match=f"{size}: expected 1 or more, found 0"):
        WeightingMatrix(**({"input_dim": 2, "units": 2, "rank": 2} | {size: 0}))


def test_refuses_other_activations() -> None:
    with pytest.raises(ValueError, match=r"activation: .*'linear'\), found 'relu'"):
        WeightingMatrix(2, 2, activation="relu")


def test_refuses_other_decompositions() -> None:
    with pytest.raises(ValueError, match=r"decomposition: .* found 'none'"):
        WeightingMatrix(2, 2, decomposition="none")


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
@pytest.mark.parametrize("decomposition", ["both", "specific", "shared"])
def test_a_sample_has_entries_of_the_whole(activation, decomposition) -> None:
    layer = WeightingMatrix(
        100, 4, rank=2, activation=activation, decomposition=decomposition
    )
    layer.build((None, 6))
    randomised(layer)
    context, known = tf.random.normal((3, 6)), tf.constant([True, False, True])
    matrices = whole(layer(context, known)).numpy()
    sample = layer.sample(layer.factors(context, known))
    assert (None, *sample.shape[1:]) == layer.sampled == (None, 16, 4)
    # 101 rows (the bias' is the last), 16 of them: a step of 100 / 15.
    rows = [round(step * 100 / 15) for step in range(16)]
    np.testing.assert_allclose(sample, matrices[:, rows], rtol=1e-5)
    np.testing.assert_array_equal(matrices[1], np.ones((101, 4)))


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
@pytest.mark.parametrize("decomposition", ["both", "specific", "shared"])
def test_matrices_of_one_group(activation, decomposition) -> None:
    layer = WeightingMatrix(
        3, 2, rank=2, activation=activation, decomposition=decomposition
    )
    layer.build((None, 6))
    randomised(layer)
    context, known = tf.random.normal((2, 6)), tf.constant([True, False])
    factors = layer.factors(context, known)
    for group, expected in enumerate(whole(layer(context, known))):
        one = Factors(*(values[group] for values in factors.specific), *factors.shared)
        kernel, bias = map(layer.product, layer.split(one))
        assert (kernel.shape, bias.shape) == ((3, 2), (1, 2))
        found = tf.concat([kernel, bias], axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nothing_shared() -> None:
    layer = WeightingMatrix(1, 2, rank=1, decomposition="specific")
    layer.build((None, 2))
    # z = (1, 2): A = z (1 3; 0 1) = (1, 5), B = z (1 0; 1 1) = (3, 2).
    layer.left.assign([[1.0, 3.0], [0.0, 1.0]])
    layer.right.assign([[1.0, 0.0], [1.0, 1.0]])
    matrices = whole(layer(tf.constant([CONTEXT]), tf.constant([True])))
    np.testing.assert_allclose(matrices[0], [[4.0, 3.0], [16.0, 11.0]], rtol=1e-6)


def test_nothing_specific() -> None:
    layer = WeightingMatrix(1, 2, rank=2, decomposition="shared")
    layer.build((None, 2))
    layer.left.assign(LEFT)
    layer.right.assign(RIGHT)
    layer.core.assign([[0.1, 0.1, 0.0, 0.1]])
    matrices = whole(layer(tf.random.normal((2, 2)), tf.constant([True, True])))
    for matrix in matrices:
        np.testing.assert_allclose(matrix, 1 + np.array(LOW_RANK), rtol=1e-6)


def test_regulariser_acts_on_all_factors() -> None:
    layer = WeightingMatrix(1, 1, rank=1, kernel_regularizer=keras.regularizers.L2(0.5))
    layer.build((None, 1))
    layer.left.assign([[1.0], [2.0]])
    layer.right.assign([[3.0]])
    layer.core.assign([[4.0]])
    # 0.5 * (1 + 4 + 9 + 16)
    np.testing.assert_allclose(tf.add_n(layer.losses), 15.0)


def test_serialises(round_trip) -> None:
    layer = WeightingMatrix(
        3,
        2,
        rank=5,
        activation="sigmoid",
        decomposition="shared",
        kernel_regularizer=keras.regularizers.L2(0.25),
        name="weighting",
    )
    again = round_trip(layer)
    assert (again.rank, again.name) == (5, "weighting")
    assert (again.activation, again.decomposition) == ("sigmoid", "shared")
    np.testing.assert_allclose(again.kernel_regularizer.l2, 0.25)

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import LowRankDense, group_by_scenario

# Scenarios 4, 9 and 7 in this order of appearance.
SCENARIO = tf.constant([4, 9, 4, 4, 7, 9], tf.int64)
GROUP = [0, 1, 0, 0, 2, 1]


def randomised(layer: LowRankDense, input_dim: int = 5) -> LowRankDense:
    layer.build((None, input_dim))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


def test_hand_computed_output() -> None:
    layer = LowRankDense(2, rank=2)
    layer.build((None, 1))
    layer.set_weights(
        [np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [1.0, 3.0]]), np.array([0.5, 0])]
    )
    cores = tf.constant([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [-1.0, 0.0]]])
    output = layer(
        tf.constant([[3.0], [3.0]]), cores, group_by_scenario(tf.constant([8, 2]))
    )
    # x U = (3, 6). Scenario 8: (3, 6) V + b = (9 + .5, 18).
    # Scenario 2: (3, 6) S = (-6, 3), then (-3 + .5, 9).
    np.testing.assert_allclose(output, [[9.5, 18.0], [-2.5, 9.0]], rtol=1e-6)


@pytest.mark.parametrize("inner", [0, 7])
def test_equals_one_kernel_a_row(inner: int) -> None:
    layer = randomised(LowRankDense(4, 3, inner, activation="relu"))
    rng = np.random.default_rng(2)
    rows, cores = rng.normal(size=(6, 5)), rng.normal(size=(3, 3, 3))
    *factors, bias = layer.get_weights()
    left, right = factors if not inner else (factors[0] @ factors[1], factors[2:])
    right = right if not inner else right[0] @ right[1]
    expected = [
        np.maximum(rows[row] @ (left @ cores[GROUP[row]] @ right) + bias, 0)
        for row in range(6)
    ]
    assert np.count_nonzero(expected) > 5
    output = layer(
        tf.constant(rows, tf.float32),
        tf.constant(cores, tf.float32),
        group_by_scenario(SCENARIO),
    )
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inner", [0, 3])
def test_gradients(inner: int, check_gradients) -> None:
    layer = LowRankDense(2, 2, inner, activation="tanh", dtype="float64")
    randomised(layer, input_dim=3)
    rng = np.random.default_rng(3)
    rows = tf.Variable(rng.normal(size=(6, 3)))
    cores = tf.Variable(rng.normal(size=(3, 2, 2)))
    weights = tf.constant(rng.normal(size=(6, 2)))
    groups = group_by_scenario(SCENARIO)
    check_gradients(
        lambda: tf.reduce_sum(layer(rows, cores, groups) * weights),
        [*layer.trainable_weights, rows, cores],
    )


def test_regulariser_acts_on_every_factor() -> None:
    layer = randomised(
        LowRankDense(4, 3, 6, kernel_regularizer=keras.regularizers.L2(0.5))
    )
    squares = sum(np.sum(np.square(weight)) for weight in layer.get_weights()[:-1])
    np.testing.assert_allclose(tf.add_n(layer.losses), 0.5 * squares, rtol=1e-5)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [(0, 5 * 3 + 3 * 4 + 4), (6, 5 * 6 + 6 * 3 + 3 * 6 + 6 * 4 + 4)],
)
def test_weights_and_output_shape(inner: int, expected: int) -> None:
    layer = randomised(LowRankDense(4, 3, inner))
    assert layer.count_params() == expected
    groups = group_by_scenario(keras.Input((), dtype=tf.int64))
    output = layer(keras.Input((5,)), keras.Input((3, 3)), groups)
    assert output.shape.as_list() == [None, 4]


@pytest.mark.parametrize("size", ["units", "rank"])
def test_refuses_sizes_below_one(size: str) -> None:
    with pytest.raises(ValueError, match=f"{size}: expected 1 or more, found 0"):
        LowRankDense(**({"units": 2, "rank": 2} | {size: 0}))


def test_refuses_an_inner_width_below_the_rank() -> None:
    with pytest.raises(ValueError, match="found overparameterization=3, rank=4"):
        LowRankDense(8, rank=4, overparameterization=3)


def test_an_initializer_draws_each_factor_anew() -> None:
    layer = LowRankDense(4, 4, 4, kernel_initializer=keras.initializers.HeNormal())
    layer.build((None, 4))
    factors = [*layer.left, *layer.right]
    assert len({factor.numpy().tobytes() for factor in factors}) == 4


def test_serialises(round_trip) -> None:
    initializer = keras.initializers.HeNormal()
    layer = LowRankDense(3, 2, 5, "relu", initializer, keras.regularizers.L2(0.25))
    again = round_trip(layer)
    assert (again.units, again.rank, again.overparameterization) == (3, 2, 5)
    assert again.activation is keras.activations.relu
    assert isinstance(again.kernel_initializer, keras.initializers.HeNormal)
    np.testing.assert_allclose(again.kernel_regularizer.l2, 0.25)


def test_a_functional_model_is_saved(tmp_path) -> None:
    rows, cores = keras.Input((5,)), keras.Input((2, 2))
    scenario = keras.Input((), dtype="int64")
    groups = keras.layers.Lambda(group_by_scenario)(scenario)
    output = LowRankDense(3, rank=2)(rows, cores, groups)
    model = keras.Model([rows, cores, scenario], output)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    given = [tf.ones((6, 5)), tf.random.normal((3, 2, 2)), SCENARIO]
    np.testing.assert_array_equal(again(given), model(given))

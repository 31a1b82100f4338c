import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import (
    ModulatedDense,
    WeightingMatrix,
    Weights,
    group_by_scenario,
)
from midpg_tf.layers.scenario_groups import (
    ScenarioChunks,
    ScenarioParts,
    part_by_scenario,
)

KERNEL = [[1.0, 2.0], [3.0, 4.0]]
BIAS = [10.0, -20.0]
# The last row of each matrix weights the bias.
MATRICES = [
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]],
    [[2.0, 0.0], [0.5, 1.0], [0.1, 2.0]],
]


def by_hand(activation: str | None = None) -> ModulatedDense:
    layer = ModulatedDense(2, activation=activation)
    layer.build((None, None, 2))
    layer.set_weights([np.array(KERNEL), np.array(BIAS)])
    return layer


def apply(layer, rows, scenario, grouping, matrices=MATRICES):
    groups = grouping(tf.constant(scenario, tf.int64))
    mine = tf.gather(tf.convert_to_tensor(matrices), groups.repeat(groups.scenarios))
    if isinstance(groups, ScenarioParts):
        rows = groups.arrange({"rows": rows})["rows"]
    output = groups.map(
        lambda part, *own: layer(part, Weights(*own)),
        groups.split(rows),
        mine[:, :-1],
        mine[:, -1:],
    )
    return groups.join(output)


def tiles(scenario):
    return group_by_scenario(scenario)


def chunks(scenario):
    return ScenarioChunks.of(group_by_scenario(scenario), 2)


def parts(scenario):
    return part_by_scenario(scenario, 2)


groupings = pytest.mark.parametrize("grouping", [tiles, chunks, parts])


@groupings
def test_hand_computed_output(grouping) -> None:
    rows = tf.constant([[1.0, 1.0], [1.0, 1.0], [2.0, 0.0]])
    output = apply(by_hand(), rows, [1, 0, 1], grouping)
    # Scenario 1: W = [[2, 0], [1.5, 4]], b = (1, -40).
    # (1, 1): (2 + 1.5 + 1, 0 + 4 - 40); (2, 0): (4 + 1, 0 - 40).
    # Scenario 0, plain: (1 + 3 + 10, 2 + 4 - 20).
    expected = [[4.5, -36.0], [14.0, -14.0], [5.0, -40.0]]
    np.testing.assert_allclose(output, expected, rtol=1e-6)


@groupings
def test_activation_comes_last(grouping) -> None:
    rows = tf.constant([[1.0, 1.0], [2.0, 0.0]])
    output = apply(by_hand("relu"), rows, [0, 1], grouping)
    # As above: (14, -14) and (5, -40), cut off at 0.
    np.testing.assert_allclose(output, [[14.0, 0.0], [5.0, 0.0]], rtol=1e-6)


@groupings
def test_equals_dense_under_neutral_matrices(grouping) -> None:
    dense = keras.layers.Dense(7, activation="relu", bias_initializer="uniform")
    dense.build((None, 5))
    layer = ModulatedDense(7, activation="relu")
    layer.build((None, None, 5))
    layer.set_weights(dense.get_weights())
    rows = tf.random.normal((24, 5))
    output = apply(layer, rows, [0, 1, 1, 0] * 6, grouping, tf.ones((2, 6, 7)))
    np.testing.assert_allclose(output, dense(rows), rtol=1e-6, atol=1e-6)


def test_starts_as_dense_does() -> None:
    layer = ModulatedDense(300)
    layer.build((None, None, 200))
    # Glorot's uniform: variance 2 / (200 + 300).
    np.testing.assert_allclose(np.var(layer.kernel), 2 / 500, rtol=0.05)
    np.testing.assert_array_equal(layer.bias, np.zeros(300))


@groupings
def test_gradients(check_gradients, grouping) -> None:
    layer = ModulatedDense(2, activation="tanh", dtype="float64")
    layer.build((None, None, 3))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    # Four rows against one: the larger scenario has several tiles.
    rows = tf.Variable(rng.normal(size=(5, 3)))
    matrices = tf.Variable(rng.normal(size=(2, 4, 2)))
    weights = tf.constant(rng.normal(size=(5, 2)))

    def scalar() -> tf.Tensor:
        output = apply(layer, rows, [1, 0, 1, 1, 1], grouping, matrices)
        return tf.reduce_sum(output * weights)

    check_gradients(scalar, [*layer.trainable_weights, rows, matrices])


def test_regulariser_acts_on_the_shared_kernel() -> None:
    layer = ModulatedDense(2, kernel_regularizer=keras.regularizers.L2(0.5))
    layer.build((None, None, 2))
    layer.set_weights([np.array(KERNEL), np.array(BIAS)])
    # 0.5 * (1 + 4 + 9 + 16)
    np.testing.assert_allclose(tf.add_n(layer.losses), 15.0)


def test_weights() -> None:
    layer = ModulatedDense(3)
    layer.build((None, None, 5))
    assert layer.count_params() == 5 * 3 + 3


def test_refuses_no_units() -> None:
    with pytest.raises(ValueError, match="units: expected 1 or more, found 0"):
        ModulatedDense(0)


def test_serialises(round_trip) -> None:
    layer = ModulatedDense(
        3,
        activation="relu",
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(0.25),
    )
    again = round_trip(layer)
    assert isinstance(again.kernel_initializer, keras.initializers.HeNormal)
    assert again.activation is keras.activations.relu
    np.testing.assert_allclose(again.kernel_regularizer.l2, 0.25)


@pytest.mark.parametrize("place", ["model.keras", "saved_model"])
def test_a_functional_model_is_saved(tmp_path, place: str) -> None:
    context, known = keras.Input((5,)), keras.Input((), dtype="bool")
    rows = keras.Input((1, 4))
    weights = WeightingMatrix(4, 3)(context, known)
    model = keras.Model([context, known, rows], ModulatedDense(3)(rows, weights))
    model.save(tmp_path / place)
    again = keras.models.load_model(tmp_path / place)
    given = [tf.ones((2, 5)), tf.constant([True, False]), tf.ones((2, 1, 4))]
    np.testing.assert_array_equal(again(given), model(given))

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import ModulatedDense, WeightingMatrix, group_by_scenario
from midpg_tf.layers.modulated_run import generated_run, looked_up_run, shared_run
from midpg_tf.layers.scenario_groups import OneScenario, ScenarioChunks

ROWS = tf.constant(np.random.default_rng(0).normal(size=(6, 3)), tf.float32)
CONTEXT = tf.constant(np.random.default_rng(1).normal(size=(4, 2)), tf.float32)
KNOWN = tf.constant([True, True, True, False])


def chunks(scenario):
    return ScenarioChunks.of(group_by_scenario(scenario), 2)


groupings = pytest.mark.parametrize(
    ("grouping", "scenarios"),
    [
        (group_by_scenario, [2, 0, 3, 0, 2, 2]),
        (chunks, [2, 0, 3, 0, 2, 2]),
        (OneScenario.of, [2] * 6),
    ],
    ids=["groups", "chunks", "one"],
)


@pytest.fixture
def dense():
    layer = ModulatedDense(2, activation="relu")
    layer.build((None, None, 3))
    layer.set_weights([np.linspace(-1, 1, 6).reshape(3, 2), np.array([0.5, -0.5])])
    return layer


@pytest.fixture
def generator():
    layer = WeightingMatrix(3, 2, 2)
    layer.build((None, 2))
    rng = np.random.default_rng(2)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def by_hand(dense, generator, scenarios):
    matrices = tf.concat(generator(CONTEXT, KNOWN), axis=1).numpy()[scenarios]
    kernels, biases = dense.kernel * matrices[:, :-1], dense.bias * matrices[:, -1]
    return np.maximum(np.einsum("ni,niu->nu", ROWS, kernels) + biases, 0)


@groupings
def test_weights_are_generated(dense, generator, grouping, scenarios) -> None:
    groups = grouping(tf.constant(scenarios, tf.int64))
    context, known = (tf.gather(one, groups.scenarios) for one in (CONTEXT, KNOWN))
    run = generated_run(dense, groups, generator, generator.factors(context, known))
    output = groups.join(run(groups.split(ROWS)))
    expected = by_hand(dense, generator, scenarios)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    # The layer's own weights, which an unknown scenario has, would give something else.
    assert np.ptp(expected - np.maximum(ROWS @ dense.kernel + dense.bias, 0)) > 0.1


# Training, which chunks are for, looks nothing up.
@pytest.mark.parametrize(
    ("grouping", "scenarios"),
    [(group_by_scenario, [2, 0, 3, 0, 2, 2]), (OneScenario.of, [2] * 6)],
    ids=["groups", "one"],
)
def test_weights_are_looked_up(dense, generator, grouping, scenarios) -> None:
    groups = grouping(tf.constant(scenarios, tf.int64))
    run = looked_up_run(dense, groups, dense.weigh(generator(CONTEXT, KNOWN)))
    output = groups.join(run(groups.split(ROWS)))
    expected = by_hand(dense, generator, scenarios)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


@groupings
def test_shared_weights_stay_as_they_are(grouping, scenarios) -> None:
    groups = grouping(tf.constant(scenarios, tf.int64))
    dense = keras.layers.Dense(2)
    output = groups.join(shared_run(dense, groups)(groups.split(ROWS)))
    np.testing.assert_allclose(output, dense(ROWS), rtol=1e-5, atol=1e-6)

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.models import PPNet


@pytest.fixture
def model(new_model) -> PPNet:
    return new_model("ppnet", embedding_stddev=1.0, context=3, gate=5)


def test_equals_the_mlp_under_neutral_gates(model, mlp_of, test_table) -> None:
    expected = mlp_of(model)(test_table.features)
    assert np.abs(model(test_table.features) - expected).max() > 0.01
    for unit in model.gate_units:
        for weight in unit.second.weights:
            weight.assign(tf.zeros_like(weight))
    np.testing.assert_array_equal(model(test_table.features), expected)


def test_equals_a_computation_row_by_row(model, check_rows) -> None:
    def logit(x: np.ndarray, s: int) -> float:
        prior = np.concatenate([model.scenario_embedding.table.numpy()[s], x])
        row = x
        for dense, unit in zip(model.denses, model.gate_units, strict=True):
            kernel_1, bias_1, kernel_2, bias_2 = unit.get_weights()
            scores = np.maximum(prior @ kernel_1 + bias_1, 0) @ kernel_2 + bias_2
            kernel, bias = dense.get_weights()
            row = np.maximum(row @ kernel + bias, 0) * 2 / (1 + np.exp(-scores))
        kernel, bias = model.head.get_weights()
        return (row @ kernel + bias)[0]

    check_rows(model, logit)


def test_gates_train_the_scenario_but_not_the_features(model) -> None:
    scenario = tf.repeat(tf.constant([0, 1, 2, 8], tf.int64), 20)
    embedded = tf.Variable(tf.random.normal((80, 21)))
    # Without kernels below, features matter to the gates alone.
    model.denses[0].kernel.assign(tf.zeros_like(model.denses[0].kernel))
    model.denses[0].bias.assign(tf.ones_like(model.denses[0].bias))
    with tf.GradientTape(persistent=True) as tape:
        value = tf.reduce_sum(model.tower(embedded, scenario, True)[0])
    np.testing.assert_array_equal(tape.gradient(value, embedded), np.zeros((80, 21)))
    trained = tf.convert_to_tensor(tape.gradient(value, model.scenario_embedding.table))
    assert np.abs(trained).sum(axis=1).nonzero()[0].tolist() == [0, 1, 2, 8]


def test_settings_reach_the_layers(model) -> None:
    # One gate a hidden neuron, of 21 embedded features and the scenario's 3.
    assert [(unit.units, unit.hidden) for unit in model.gate_units] == [(16, 5), (8, 5)]
    assert {unit.first.kernel.shape[0] for unit in model.gate_units} == {3 + 21}
    again = PPNet.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert (again.context, again.gate) == (3, 5)

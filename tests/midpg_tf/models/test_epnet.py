import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.models import EPNet


@pytest.fixture
def model(new_model) -> EPNet:
    return new_model("epnet", embedding_stddev=1.0, context=3, gate=5)


def test_equals_the_mlp_under_neutral_gates(model, mlp_of, test_table) -> None:
    expected = mlp_of(model)(test_table.features)
    assert np.abs(model(test_table.features) - expected).max() > 0.01
    for weight in model.gate_unit.second.weights:
        weight.assign(tf.zeros_like(weight))
    np.testing.assert_array_equal(model(test_table.features), expected)


def test_equals_a_computation_row_by_row(model, check_rows) -> None:
    def logit(x: np.ndarray, s: int) -> float:
        z = model.scenario_embedding.table.numpy()[s]
        kernel_1, bias_1, kernel_2, bias_2 = model.gate_unit.get_weights()
        hidden = np.maximum(np.concatenate([z, x]) @ kernel_1 + bias_1, 0)
        row = x * 2 / (1 + np.exp(-(hidden @ kernel_2 + bias_2)))
        for dense in model.denses:
            kernel, bias = dense.get_weights()
            row = np.maximum(row @ kernel + bias, 0)
        kernel, bias = model.head.get_weights()
        return (row @ kernel + bias)[0]

    check_rows(model, logit)


def test_gates_train_the_scenario_but_not_the_features(model) -> None:
    embedded = tf.Variable(tf.random.normal((80, 21)))
    scenario = tf.repeat(tf.constant([0, 1, 2, 8], tf.int64), 20)
    gates = model.gate_unit(
        tf.concat([model.scenario_embedding(scenario), embedded], axis=-1)
    )
    with tf.GradientTape(persistent=True) as tape:
        value = tf.reduce_sum(model.tower(embedded, scenario, True)[0])
        row = gates * embedded
        for dense in [*model.denses, model.head]:
            row = dense(row)
        under_fixed_gates = tf.reduce_sum(row)
    np.testing.assert_allclose(
        tape.gradient(value, embedded),
        tape.gradient(under_fixed_gates, embedded),
        rtol=1e-4,
        atol=1e-6,
    )
    table = model.scenario_embedding.table
    trained = tf.convert_to_tensor(tape.gradient(value, table))
    assert np.abs(trained).sum(axis=1).nonzero()[0].tolist() == [0, 1, 2, 8]


def test_settings_reach_the_layers(model) -> None:
    # Country 4 + device 4 + item 8 + tags 4 + age 1 features, 8 scenarios.
    assert (model.gate_unit.units, model.gate_unit.hidden) == (21, 5)
    assert model.scenario_embedding.table.shape == (9, 3)
    assert [weight.shape for weight in model.gate_unit.weights] == [
        (3 + 21, 5),
        (5,),
        (5, 21),
        (21,),
    ]
    again = EPNet.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert (again.context, again.gate) == (3, 5)

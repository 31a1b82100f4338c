import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.models import HAMUR


@pytest.fixture
def model(new_model) -> HAMUR:
    return new_model("hamur", embedding_stddev=1.0, rank=3, bottleneck=4, hyper=5)


def test_equals_the_mlp_under_adapters_of_zero(model, mlp_of, test_table) -> None:
    expected = mlp_of(model)(test_table.features)
    assert np.abs(model(test_table.features) - expected).max() > 0.01
    for norm in model.norms:
        norm.gamma.assign(tf.zeros_like(norm.gamma))
    np.testing.assert_array_equal(model(test_table.features), expected)


def test_equals_a_computation_row_by_row(model, randomised, check_rows) -> None:
    randomised(model)

    def logit(x: np.ndarray, s: int) -> float:
        (kernel_1, bias_1), (kernel_2, bias_2) = (
            dense.get_weights() for dense in model.hyper_denses
        )
        core = np.maximum(x @ kernel_1 + bias_1, 0) @ kernel_2 + bias_2
        core = core.reshape(3, 3)
        row = x
        for dense, adapter, norm in zip(
            model.denses, model.adapters, model.norms, strict=True
        ):
            kernel, bias = dense.get_weights()
            row = np.maximum(row @ kernel + bias, 0)
            u1, v1, b1, u2, v2, b2 = adapter.get_weights()
            middle = 1 / (1 + np.exp(-(row @ (u1 @ core @ v1) + b1)))
            adapted = middle @ (u2 @ core @ v2) + b2
            # Before training the statistics are a mean of 0 and a variance of 1.
            gamma = norm.gamma.numpy() * norm.scenario_gamma.numpy()[s]
            beta = norm.beta.numpy() + norm.scenario_beta.numpy()[s]
            row = row + gamma * adapted / np.sqrt(1 + norm.epsilon) + beta
        kernel, bias = model.head.get_weights()
        return (row @ kernel + bias)[0]

    check_rows(model, logit)


def test_training_collects_the_statistics_of_each_scenario(model, test_table) -> None:
    model.drop_scenario.rate = 0.0
    before = model(test_table.features)
    model(test_table.features, training=True)
    scenario = model.scenario_index(test_table.features)
    counts = np.bincount(scenario, minlength=9)
    assert counts[-2:].tolist() == [0, 0]  # the one that nobody is in, and unknown
    for norm in model.norms:
        np.testing.assert_array_equal(norm.moving_sums.rows[:, 0], counts)
    assert np.abs(model(test_table.features) - before).max() > 0.01


def test_settings_reach_the_layers(model) -> None:
    assert [dense.units for dense in model.hyper_denses] == [5, 9]
    assert {adapter.bottleneck for adapter in model.adapters} == {4}
    assert [norm.scenarios for norm in model.norms] == [9, 9]
    # Four tables; kernel and bias of two hyper-network, two hidden and the output
    # layer; six weights an adapter, four a norm.
    assert len(model.trainable_weights) == 4 + 5 * 2 + 2 * (6 + 4)
    again = HAMUR.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert (again.rank, again.bottleneck, again.hyper) == (3, 4, 5)

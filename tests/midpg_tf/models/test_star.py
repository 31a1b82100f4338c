from __future__ import annotations

import numpy as np

from midpg_tf.models import STAR


def silence_auxiliary(model: STAR) -> None:
    for weight in model.auxiliary_head.weights:
        weight.assign(np.zeros(weight.shape))


def test_equals_the_shared_network_at_initialisation(new_model, test_table) -> None:
    mlp = new_model("mlp", embedding_stddev=1.0)
    model = new_model("star")
    silence_auxiliary(model)
    model.embedding.set_weights(mlp.embedding.get_weights())
    for ours, theirs in zip(
        [*model.denses, model.head], [*mlp.denses, mlp.head], strict=True
    ):
        kernel, bias = theirs.get_weights()
        ours.kernel.assign(kernel)
        ours.bias.assign(bias)
    # Neutral statistics: mean 0 and variance 1, to which 1e-3 is added.
    model.denses[0].kernel.assign(model.denses[0].kernel * np.sqrt(1.001))
    score = model(test_table.features)
    assert np.std(score) > 0.05
    np.testing.assert_allclose(score, mlp(test_table.features), rtol=1e-5)


def test_equals_a_computation_row_by_row(
    new_model, randomised, rows, check_rows
) -> None:
    model = new_model("star", hidden=(6, 5), context=3, auxiliary=(4,))
    randomised(model)
    model(rows, training=True)
    table = model.scenario_embedding.table.numpy()
    norm = model.normalization

    def logit(x: np.ndarray, s: int) -> float:
        # Rows, their sum and the sum of their squares.
        sums = [part.numpy() for part in norm.moving_sums]
        own, everything = (
            [part[s] for part in sums],
            [part.sum(axis=0) for part in sums],
        )
        mean, square = (
            (own[i] + 16 * everything[i] / everything[0]) / (own[0] + 16)
            for i in (1, 2)
        )
        h = (x - mean) / np.sqrt(square - mean**2 + 1e-3)
        h = h * norm.gamma.numpy() * norm.scenario_gamma[s].numpy()
        h = h + norm.beta.numpy() + norm.scenario_beta[s].numpy()
        for dense in [*model.denses, model.head]:
            kernel, bias, factors, scenario_bias = dense.get_weights()
            h = h @ (kernel * factors[s]) + bias + scenario_bias[s, 0]
            h = np.maximum(h, 0) if dense is not model.head else h
        a = np.concatenate([table[s], x])
        kernel, bias = model.auxiliary_denses[0].get_weights()
        a = np.maximum(a @ kernel + bias, 0)
        kernel, bias = model.auxiliary_head.get_weights()
        return (h + a @ kernel + bias)[0]

    check_rows(model, logit)


def test_training_normalises_by_scenario(new_model, test_table) -> None:
    model = new_model("star", hidden=(6,), scenario_dropout=0.0)
    silence_auxiliary(model)
    rows = test_table.features
    first = model(rows, training=True).numpy()
    # One batch of the same rows has the same statistics.
    np.testing.assert_allclose(model(rows), first, rtol=1e-4)

    # One scenario's ages on another scale change nothing, up to the epsilon.
    model.normalization.prior_rows = 0.0
    first = model(rows, training=True).numpy()
    scenario = model.scenario_index(rows).numpy()
    moved = rows | {"age": np.where(scenario == 2, rows["age"] * 9 + 5, rows["age"])}
    assert np.std(first) > 0.01
    np.testing.assert_allclose(model(moved, training=True), first, atol=1e-3)
    # Were the scenario's rows normalised with all others, they would.
    model.normalization.prior_rows = 1e6
    together = model(moved, training=True).numpy()
    assert np.abs(together - first)[scenario == 2].mean() > 0.01


def test_settings_reach_the_layers(new_model) -> None:
    model = new_model("star", hidden=(6,), context=5, auxiliary=[7, 3])
    assert model.scenario_embedding.table.shape == (9, 5)
    assert [dense.units for dense in model.auxiliary_denses] == [7, 3]
    assert [(dense.scenarios, dense.units) for dense in model.denses] == [(9, 6)]
    again = STAR.from_config(model.get_config())
    assert (again.context, again.auxiliary) == (5, (7, 3))


def test_without_hidden_layers(new_model, test_table) -> None:
    model = new_model("star", hidden=(), auxiliary=())
    assert np.isfinite(model(test_table.features)).all()
    # Kernel, bias and both by scenario; and kernel and bias of the auxiliary logit.
    assert len(model.head.weights) == 4
    assert model.auxiliary_head.kernel.shape == (8 + model.embedding.width, 1)

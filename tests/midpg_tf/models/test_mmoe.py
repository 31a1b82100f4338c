from __future__ import annotations

import numpy as np
import pytest

from midpg_tf.models import MMoE


def test_one_expert_equals_the_mlp_where_towers_are_equal(
    new_model, test_table
) -> None:
    mlp = new_model("mlp", embedding_stddev=1.0)
    model = new_model("mmoe", experts=1)
    model.embedding.set_weights(mlp.embedding.get_weights())
    for bank, dense in zip(
        [*model.denses, *model.towers, model.head],
        [*mlp.denses, mlp.head],
        strict=True,
    ):
        kernel, bias = dense.get_weights()
        copies = bank.copies
        bank.set_weights([np.stack([kernel] * copies), np.stack([[bias]] * copies)])
    score = model(test_table.features)
    assert np.std(score) > 0.05
    np.testing.assert_allclose(score, mlp(test_table.features), rtol=1e-5)


@pytest.mark.parametrize("hidden", [(5,), (6, 5, 4)])
def test_equals_a_computation_row_by_row(
    new_model, randomised, check_rows, hidden
) -> None:
    model = randomised(new_model("mmoe", experts=3, hidden=hidden))

    def logit(x: np.ndarray, s: int) -> float:
        gate = np.exp(x @ model.gate.kernel[s].numpy() + model.gate.bias[s, 0])
        mixed = 0.0
        for expert, weight in enumerate(gate / gate.sum()):
            h = x
            for bank in model.denses:
                kernel, bias = bank.get_weights()
                h = np.maximum(h @ kernel[expert] + bias[expert, 0], 0)
            mixed += weight * h
        for bank in model.towers:
            kernel, bias = bank.get_weights()
            mixed = np.maximum(mixed @ kernel[s] + bias[s, 0], 0)
        kernel, bias = model.head.get_weights()
        return (mixed @ kernel[s] + bias[s, 0])[0]

    check_rows(model, logit)


def test_settings_reach_the_layers(new_model) -> None:
    model = new_model("mmoe", experts=5, hidden=(7, 6, 4))
    assert [(bank.copies, bank.units) for bank in model.denses] == [(5, 7), (5, 6)]
    assert (model.gate.copies, model.gate.units) == (9, 5)
    assert [(bank.copies, bank.units) for bank in model.towers] == [(9, 4)]
    assert MMoE.from_config(model.get_config()).experts == 5

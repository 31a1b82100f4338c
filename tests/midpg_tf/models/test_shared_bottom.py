from __future__ import annotations

import numpy as np
import pytest


def test_equals_the_mlp_where_towers_are_equal(new_model, test_table) -> None:
    mlp = new_model("mlp", embedding_stddev=1.0)
    model = new_model("shared_bottom")
    model.embedding.set_weights(mlp.embedding.get_weights())
    (ours,), (theirs, tower) = model.denses, mlp.denses
    ours.set_weights(theirs.get_weights())
    for bank, dense in zip([*model.towers, model.head], [tower, mlp.head], strict=True):
        kernel, bias = dense.get_weights()
        bank.set_weights([np.stack([kernel] * 9), np.stack([[bias]] * 9)])
    score = model(test_table.features)
    assert np.std(score) > 0.05
    np.testing.assert_allclose(score, mlp(test_table.features), rtol=1e-5)


@pytest.mark.parametrize("hidden", [(), (5,), (6, 5, 4)])
def test_equals_a_computation_row_by_row(
    new_model, randomised, check_rows, hidden
) -> None:
    model = randomised(new_model("shared_bottom", hidden=hidden))

    def logit(x: np.ndarray, s: int) -> float:
        for dense in model.denses:
            kernel, bias = dense.get_weights()
            x = np.maximum(x @ kernel + bias, 0)
        for bank in model.towers:
            kernel, bias = bank.get_weights()
            x = np.maximum(x @ kernel[s] + bias[s, 0], 0)
        kernel, bias = model.head.get_weights()
        return (x @ kernel[s] + bias[s, 0])[0]

    check_rows(model, logit)


def test_only_the_last_hidden_layer_is_specific(new_model) -> None:
    model = new_model("shared_bottom", hidden=(7, 6, 5))
    assert [dense.units for dense in model.denses] == [7, 6]
    assert [bank.units for bank in model.towers] == [5]
    # Four countries on two devices, and the unknown scenario.
    assert [bank.copies for bank in [*model.towers, model.head]] == [9, 9]

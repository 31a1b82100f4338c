from __future__ import annotations

import numpy as np

from midpg_tf.models import SARNet


def test_one_shared_expert_equals_the_mlp_at_initialisation(
    new_model, test_table
) -> None:
    mlp = new_model("mlp", embedding_stddev=1.0)
    model = new_model("sar_net", shared_experts=1, specific_experts=0)
    model.embedding.set_weights(mlp.embedding.get_weights())
    model.head.set_weights(mlp.head.get_weights())
    for bank, dense in zip(model.shared, mlp.denses, strict=True):
        kernel, bias = dense.get_weights()
        bank.set_weights([kernel[np.newaxis], bias[np.newaxis, np.newaxis]])
    score = model(test_table.features)
    assert np.std(score) > 0.05
    np.testing.assert_allclose(score, mlp(test_table.features), rtol=1e-5)


def test_equals_a_computation_row_by_row(new_model, randomised, check_rows) -> None:
    model = new_model("sar_net", shared_experts=3, specific_experts=2, hidden=(6, 5))
    randomised(model)

    def run(banks: list, x: np.ndarray, copy: int) -> np.ndarray:
        for bank in banks:
            kernel, bias = bank.get_weights()
            x = np.maximum(x @ kernel[copy] + bias[copy, 0], 0)
        return x

    def logit(x: np.ndarray, s: int) -> float:
        x = x * model.transform.scale[s].numpy() + model.transform.shift[s].numpy()
        outputs = [run(model.shared, x, e) for e in range(3)]
        outputs += [run(model.specific, x, 2 * s + e) for e in range(2)]
        gate = np.exp(x @ model.gate.kernel[s].numpy() + model.gate.bias[s, 0])
        mixed = sum(
            weight * output
            for weight, output in zip(gate / gate.sum(), outputs, strict=True)
        )
        kernel, bias = model.head.get_weights()
        return (mixed @ kernel + bias)[0]

    check_rows(model, logit)


def test_settings_reach_the_layers(new_model) -> None:
    model = new_model("sar_net", shared_experts=4, specific_experts=2, hidden=(7, 6))
    assert [(bank.copies, bank.units) for bank in model.shared] == [(4, 7), (4, 6)]
    assert [(bank.copies, bank.units) for bank in model.specific] == [(18, 7), (18, 6)]
    assert (model.gate.copies, model.gate.units) == (9, 6)
    assert model.transform.scenarios == 9
    again = SARNet.from_config(model.get_config())
    assert (again.shared_experts, again.specific_experts) == (4, 2)

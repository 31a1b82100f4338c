from __future__ import annotations

import numpy as np
import pytest

from midpg_tf.models import PLE


def test_one_shared_expert_equals_the_mlp_where_towers_are_equal(
    new_model, test_table
) -> None:
    mlp = new_model("mlp", embedding_stddev=1.0)
    model = new_model("ple", shared_experts=1, specific_experts=0)
    model.embedding.set_weights(mlp.embedding.get_weights())
    for bank, dense in zip(
        [*model.shared, *model.towers, model.head],
        [*mlp.denses, mlp.head],
        strict=True,
    ):
        kernel, bias = dense.get_weights()
        copies = bank.copies
        bank.set_weights([np.stack([kernel] * copies), np.stack([[bias]] * copies)])
    score = model(test_table.features)
    assert np.std(score) > 0.05
    np.testing.assert_allclose(score, mlp(test_table.features), rtol=1e-5)


@pytest.mark.parametrize(
    ("hidden", "levels"), [((5,), 1), ((6, 5, 4), 1), ((6, 5, 4), 2), ((6, 5, 4, 3), 2)]
)
def test_equals_a_computation_row_by_row(
    new_model, randomised, check_rows, hidden, levels: int
) -> None:
    model = new_model(
        "ple", shared_experts=3, specific_experts=2, levels=levels, hidden=hidden
    )
    randomised(model)
    experts = max(1, len(hidden) - 1)
    # Each level but the last has one hidden layer of the experts'.
    layers = [[level] for level in range(levels - 1)]
    layers.append(list(range(levels - 1, experts)))

    def run(banks: list, x: np.ndarray, copy: int) -> np.ndarray:
        for bank in banks:
            kernel, bias = bank.get_weights()
            x = np.maximum(x @ kernel[copy] + bias[copy, 0], 0)
        return x

    def mixture(logits: np.ndarray, outputs: list[np.ndarray]) -> np.ndarray:
        weights = np.exp(logits) / np.exp(logits).sum()
        return sum(w * output for w, output in zip(weights, outputs, strict=True))

    def logit(x: np.ndarray, s: int) -> float:
        shared = own = x
        for level, which in enumerate(layers):
            outputs = [
                *(run([model.shared[i] for i in which], shared, e) for e in range(3)),
                *(
                    run([model.specific[i] for i in which], own, 2 * s + e)
                    for e in range(2)
                ),
            ]
            kernel, bias = model.gates[level].get_weights()
            logits = own @ kernel[s] + bias[s, 0]
            if level < levels - 1:
                kernel, bias = model.shared_gates[level].get_weights()
                shared = mixture(shared @ kernel + bias, outputs)
            own = mixture(logits, outputs)
        kernel, bias = model.head.get_weights()
        own = run(model.towers, own, s)
        return (own @ kernel[s] + bias[s, 0])[0]

    check_rows(model, logit)


def test_settings_reach_the_layers(new_model) -> None:
    model = new_model(
        "ple", shared_experts=4, specific_experts=2, levels=2, hidden=(7, 6, 5, 4)
    )
    assert [(b.copies, b.units) for b in model.shared] == [(4, 7), (4, 6), (4, 5)]
    assert [(b.copies, b.units) for b in model.specific] == [(18, 7), (18, 6), (18, 5)]
    assert [(b.copies, b.units) for b in model.gates] == [(9, 6), (9, 6)]
    assert [dense.units for dense in model.shared_gates] == [6]
    assert [(b.copies, b.units) for b in model.towers] == [(9, 4)]
    again = PLE.from_config(model.get_config())
    assert (again.shared_experts, again.specific_experts, again.levels) == (4, 2, 2)


@pytest.mark.parametrize("levels", [0, 3])
def test_refuses_levels_without_hidden_layers(new_model, levels: int) -> None:
    with pytest.raises(ValueError, match=f"levels: .* layers, 2, found {levels}"):
        new_model("ple", levels=levels, hidden=(6, 5, 4))

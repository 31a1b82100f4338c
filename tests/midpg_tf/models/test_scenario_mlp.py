from __future__ import annotations

import numpy as np


def test_is_an_mlp_for_each_scenario(new_model, randomised, test_table) -> None:
    mlp = new_model("mlp")
    model = new_model("scenario_mlp", embedding_stddev=1.0)
    randomised(model)
    rows = {k: v.copy() for k, v in test_table.features.items()}
    rows["country"][:300] = 4
    score, scenario = model(rows).numpy(), model.scenario_index(rows).numpy()
    assert np.std(score) > 0.05
    # All but country 3 on device 1, which no row has.
    assert sorted(set(scenario)) == [0, 1, 2, 3, 4, 5, 6, 8]
    mlp.embedding.set_weights(model.embedding.get_weights())
    for s in set(scenario):
        for dense, bank in zip(
            [*mlp.denses, mlp.head], [*model.denses, model.head], strict=True
        ):
            dense.set_weights([bank.kernel[s], bank.bias[s, 0]])
        expected = mlp({k: v[scenario == s] for k, v in rows.items()})
        np.testing.assert_allclose(score[scenario == s], expected, rtol=1e-4)


def test_scenarios_start_apart_and_with_the_scale_of_an_mlp(new_model) -> None:
    model, wide = (new_model(name, hidden=[300]) for name in ("scenario_mlp", "mlp"))
    kernels = model.denses[0].kernel.numpy()
    assert len({kernel.tobytes() for kernel in kernels}) == 9
    expected = np.std(wide.denses[0].kernel)
    np.testing.assert_allclose(np.std(kernels, axis=(1, 2)), expected, rtol=0.1)


def test_without_hidden_layers(new_model, test_table) -> None:
    model = new_model("scenario_mlp", hidden=())
    model.head.bias.assign(np.arange(9.0).reshape(9, 1, 1) - 4)
    model.head.kernel.assign(np.zeros(model.head.kernel.shape))
    score = model(test_table.features)
    logit = model.scenario_index(test_table.features).numpy() - 4.0
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-logit)), rtol=1e-5)

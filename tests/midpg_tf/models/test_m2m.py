import numpy as np
import pytest

from midpg_tf.layers import MetaUnit
from midpg_tf.models import M2M


def leaky_relu(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 0.2 * values)


def meta(unit: MetaUnit, row: np.ndarray, knowledge: np.ndarray) -> np.ndarray:
    """Equals the unit for one row; its knowledge makes a kernel and a bias."""
    kernel, kernel_bias = unit.kernels.get_weights()
    bias, bias_bias = unit.biases.get_weights()
    matrix = (knowledge @ kernel + kernel_bias).reshape(len(row), len(row))
    return leaky_relu(row @ matrix + knowledge @ bias + bias_bias)


def test_equals_a_computation_row_by_row(new_model, randomised, check_rows) -> None:
    model = randomised(
        new_model("m2m", hidden=(6, 5), experts=3, context=3, knowledge=4)
    )

    def logit(x: np.ndarray, s: int) -> float:
        z = model.scenario_embedding.table.numpy()[s]
        kernel, bias = model.knowledge_dense.get_weights()
        knowledge = np.maximum(z @ kernel + bias, 0)
        views = []
        for expert in range(3):
            view = x
            for dense in model.denses:
                kernel, bias = (weight[expert] for weight in dense.get_weights())
                view = np.maximum(view @ kernel + bias.reshape(-1), 0)
            views.append(view)
        (v,) = model.attention_score.get_weights()
        scores = [(meta(model.attention, view, knowledge) @ v)[0] for view in views]
        shares = np.exp(scores - np.max(scores))
        row = np.average(views, axis=0, weights=shares)
        for unit in model.meta_tower:
            row = leaky_relu(meta(unit, row, knowledge) + row)
        kernel, bias = model.head.get_weights()
        return (row @ kernel + bias)[0]

    check_rows(model, logit)


def test_no_experts_but_one_and_no_tower_leave_an_mlp(new_model, test_table) -> None:
    model = new_model("m2m", experts=1, tower_layers=0, embedding_stddev=1.0)
    mlp = new_model("mlp")
    mlp.embedding.set_weights(model.embedding.get_weights())
    for ours, theirs in zip(mlp.denses, model.denses, strict=True):
        kernel, bias = theirs.get_weights()
        ours.set_weights([kernel[0], bias.reshape(-1)])
    mlp.head.set_weights(model.head.get_weights())
    # One expert has all the attention, whatever the scenario.
    np.testing.assert_allclose(
        model(test_table.features), mlp(test_table.features), rtol=1e-5
    )


def test_settings_reach_the_layers(new_model) -> None:
    model = new_model("m2m", experts=3, tower_layers=4, context=5, knowledge=6)
    assert {dense.copies for dense in model.denses} == {3}
    assert len(model.meta_tower) == 4
    assert model.scenario_embedding.width == 5
    assert model.knowledge_dense.units == 6
    assert {unit.width for unit in [model.attention, *model.meta_tower]} == {8}
    again = M2M.from_config(model.get_config())
    assert again.get_config() == model.get_config()


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_any_number_of_hidden_layers(new_model, randomised, test_table, hidden) -> None:
    model = randomised(new_model("m2m", hidden=hidden))
    assert np.isfinite(model(test_table.features)).all()

import numpy as np
import pytest

from midpg_tf.models import APG


@pytest.mark.parametrize("inner", [0, 6])
def test_equals_a_computation_row_by_row(
    new_model, randomised, check_rows, inner: int
) -> None:
    model = randomised(new_model("apg", rank=4, overparameterization=inner, context=3))

    def logit(row: np.ndarray, s: int) -> float:
        z = model.scenario_embedding.table.numpy()[s]
        for dense, generator in zip(model.denses, model.generators, strict=True):
            kernel, bias = generator.get_weights()
            core = (z @ kernel + bias).reshape(4, 4)
            left, right = (
                np.linalg.multi_dot([f.numpy() for f in factors])
                if inner
                else factors[0].numpy()
                for factors in (dense.left, dense.right)
            )
            row = np.maximum(row @ (left @ core @ right) + dense.bias.numpy(), 0)
        kernel, bias = model.head.get_weights()
        return (row @ kernel + bias)[0]

    check_rows(model, logit)


def test_rank_is_at_most_the_narrower_side(new_model) -> None:
    # Of 21 -> 16 and 16 -> 8.
    assert [dense.rank for dense in new_model("apg").denses] == [16, 8]
    assert [dense.rank for dense in new_model("apg", rank=10).denses] == [10, 8]


def test_settings_reach_the_layers(new_model) -> None:
    model = new_model("apg", rank=4, overparameterization=6, context=3)
    assert [dense.overparameterization for dense in model.denses] == [6, 6]
    assert [generator.kernel.shape for generator in model.generators] == [(3, 16)] * 2
    # Four tables and the scenario's; four factors and a bias, kernel and bias of the
    # generator, for each hidden layer; the output layer.
    assert len(model.trainable_weights) == 5 + 2 * (5 + 2) + 2
    again = APG.from_config(model.get_config())
    assert again.get_config() == model.get_config()


def test_refuses_an_inner_width_below_the_rank(new_model) -> None:
    with pytest.raises(ValueError, match="found overparameterization=3, rank=4"):
        new_model("apg", rank=4, overparameterization=3)

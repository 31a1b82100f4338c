import pytest

from midpg_tf.models import MIDPG, MLP, MODELS, hyperparameters

SHARED = {
    "hidden",
    "cross_layers",
    "dropout",
    "embedding_stddev",
    "l2",
    "kernel_initializer",
    "scenario_dropout",
}
OWN = {"rank", "activation", "mi_weight", "context", "auxiliary"}


def test_models_by_name() -> None:
    assert MODELS == {"midpg": MIDPG, "mlp": MLP}


@pytest.mark.parametrize(
    ("name", "expected"), [("mlp", SHARED), ("midpg", SHARED | OWN)]
)
def test_hyperparameters_are_the_arguments_of_the_constructor(
    name: str, expected: set[str]
) -> None:
    types = hyperparameters(name)
    assert types.keys() == expected
    assert types["l2"] is float

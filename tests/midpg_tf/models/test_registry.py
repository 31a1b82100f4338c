import pytest

from midpg_tf.models import MIDPG, MLP, MODELS, hyperparameters
from midpg_tf.models.registry import defaults

SHARED = {
    "hidden",
    "cross_layers",
    "dot_interactions",
    "dropout",
    "embedding_stddev",
    "l2",
    "embedding_l2",
    "kernel_initializer",
    "scenario_dropout",
    "negative_rate",
}
OWN = {
    *("rank", "activation", "mi_weight", "estimator", "modulated", "decomposition"),
    *("context", "auxiliary", "matrix_l2"),
}


def test_models_by_name() -> None:
    assert (MODELS["midpg"], MODELS["mlp"]) == (MIDPG, MLP)
    # A name is its class's, in lower case, with or without underscores.
    assert [name.replace("_", "") for name in MODELS] == [
        model.__name__.lower() for model in MODELS.values()
    ]
    assert len(MODELS) == 14


@pytest.mark.parametrize(
    ("name", "expected"), [("mlp", SHARED), ("midpg", SHARED | OWN)]
)
def test_hyperparameters_are_the_arguments_of_the_constructor(
    name: str, expected: set[str]
) -> None:
    types = hyperparameters(name)
    assert types.keys() == expected
    assert types["l2"] is float


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_those_of_the_same_arguments(name: str) -> None:
    found = defaults(name)
    assert found.keys() == hyperparameters(name).keys()
    assert found["l2"] == 1e-5

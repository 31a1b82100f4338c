from collections.abc import Sequence
from typing import Literal, get_args, get_origin

import pytest
from pydantic import ValidationError

from midpg_tf.models import MODELS, hyperparameters
from midpg_tf.spec import ModelSpec, Training


def test_settings_are_what_is_given() -> None:
    assert ModelSpec(name="mlp").settings == {}
    assert ModelSpec(name="mlp", hidden=[4], l2=0.5).settings == {
        "hidden": [4],
        "l2": 0.5,
    }


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_hyperparameter_can_be_set(name: str) -> None:
    values = {int: 1, float: 0.5, bool: True, str: "he_normal", Sequence[int]: [4]}
    values[float | None] = 0.5
    settings = {
        key: get_args(hint)[0] if get_origin(hint) is Literal else values[hint]
        for key, hint in hyperparameters(name).items()
    }
    assert ModelSpec(name=name, **settings).settings == settings


def test_numbers_that_yaml_reads_as_text_become_numbers() -> None:
    # YAML 1.1 wants 1.0e-5.
    given = {"l2": "1e-5", "embedding_l2": "5e-4", "hidden": ["64", 32]}
    assert ModelSpec(name="midpg", **given).settings == {
        "l2": 1e-5,
        "embedding_l2": 5e-4,
        "hidden": [64, 32],
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": []}, "unknown key 'features'"),
        ({"kwargs": {}}, "unknown key 'kwargs'"),
        ({"hidden": "256"}, "hidden: .*found '256'"),
        ({"hidden": [1.5]}, "hidden: expected a valid integer.*found"),
        ({"dropout": None}, "dropout: expected a valid number, found None"),
        ({"rank": True}, "rank: expected a number, found True"),
        ({"hidden": [8, True]}, r"hidden: expected a number, found \[8, True\]"),
        ({"embedding_l2": False}, "embedding_l2: expected a number, found False"),
        ({"embedding_l2": "much"}, "embedding_l2: expected a valid number.*found 'm"),
    ],
)
def test_refuses(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSpec(name="midpg", **settings)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_refuses_seeds_that_tensorflow_does(seed: int) -> None:
    with pytest.raises(ValidationError, match="seed"):
        Training(seed=seed)

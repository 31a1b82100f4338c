from __future__ import annotations

import pytest
from pydantic import ValidationError

from midpg_tf import DatasetSpec
from midpg_tf.spec import SpecError
from midpg_tf.spec.section import Section


@pytest.mark.parametrize(
    ("key", "flag"),
    [
        ("features.age.default", False),
        ("features.country.min_count", True),
        ("features.tags.embedding", True),
        ("label.from.greater_than", False),
        ("data.min_scenario_rows", False),
        ("training.seed", True),
        ("training.learning_rate", True),
        ("gates.log_loss", {"max_increase": False}),
    ],
)
def test_flags_are_no_numbers(write, key: str, flag: object) -> None:
    path = write(key, flag)
    if isinstance(flag, dict):
        ((last, flag),) = flag.items()
        key = f"{key}.{last}"
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    assert str(caught.value) == f"{path}: {key}: expected a number, found {flag}"


def test_a_flag_hides_no_other_problem(write) -> None:
    path = write("training", {"epochs": True, "patience": -1, "epoch": 3})
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    unknown, epochs, patience = str(caught.value).splitlines()
    assert "found the unknown key 'epoch'" in unknown
    assert epochs == f"{path}: training.epochs: expected a number, found True"
    assert patience.startswith(f"{path}: training.patience: ")


class Example(Section):
    flag: bool | None = None
    shares: tuple[float, ...] = ()


def test_flags_are_flags() -> None:
    assert Example(flag=True).flag is True
    assert Example(flag="off").flag is False


def test_lists_of_numbers_have_no_flags() -> None:
    assert Example(shares=["1e-5", 2]).shares == (1e-5, 2)
    with pytest.raises(ValidationError, match=r"a number, found \[0.5, True\]"):
        Example(shares=[0.5, True])

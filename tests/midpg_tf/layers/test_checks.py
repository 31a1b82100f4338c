import re

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers.checks import (
    all_whole,
    at_least,
    below_one,
    listed,
    one_of,
    whole,
)


def test_passes_what_is_in_range() -> None:
    listed(widths=[8, 1], sizes=np.array([8]), none=())
    at_least(0, l2=0.0)
    whole(1, units=1, rank=np.array(1), sketch=tf.constant(8), width=np.int64(8))
    all_whole(1, widths=[8, 1], sizes=np.array([8, 1]), none=())
    at_least(0, l2=np.array(1e-4), others=tf.constant(1e-4))
    below_one(rate=0, dropout=0.999, others=np.array(0.5), tensor=tf.constant(0.5))
    one_of({"left": 1, "right": 2}, side="left")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "rank: expected 1 or more, found 0"),
        ([8, 4], "rank: expected a finite number, found [8, 4]"),
        (np.array([8]), "rank: expected a finite number, found array([8])"),
        (np.nan, "rank: expected a finite number, found nan"),
        ("8", "rank: expected a finite number, found '8'"),
        (None, "rank: expected a finite number, found None"),
        (True, "rank: expected a finite number, found True"),
    ],
)
def test_at_least_refuses(value, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        at_least(1, units=1, rank=value)


def test_whole_refuses() -> None:
    with pytest.raises(ValueError, match=r"rank: expected a whole number, found 2\.5"):
        whole(1, units=1, rank=2.5)
    with pytest.raises(ValueError, match="rank: expected 1 or more, found 0"):
        whole(1, rank=0)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([8, 4.0], "hidden[1]: expected a whole number, found 4.0"),
        ((8, np.inf), "hidden[1]: expected a finite number, found inf"),
        ([8, 0], "hidden[1]: expected 1 or more, found 0"),
        ([[8]], "hidden[0]: expected a finite number, found [8]"),
        (8, "hidden: expected a list, found 8"),
    ],
)
def test_all_whole_refuses(value, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        all_whole(1, hidden=value)


@pytest.mark.parametrize("value", ["channel", 4, None])
def test_listed_refuses(value) -> None:
    with pytest.raises(ValueError, match=f"^names: expected a list, found {value!r}$"):
        listed(widths=[8], names=value)


@pytest.mark.parametrize("value", [-0.1, 1.0, 2, np.nan, None])
def test_below_one_refuses(value: float) -> None:
    told = f"rate: expected a share from 0 to below 1, found {value}"
    with pytest.raises(ValueError, match=re.escape(told)):
        below_one(dropout=0.5, rate=value)


@pytest.mark.parametrize("value", ["up", None, ["left"]])
def test_one_of_refuses(value) -> None:
    told = f"other: expected one of ('left', 'right'), found {value!r}"
    with pytest.raises(ValueError, match=re.escape(told)):
        one_of({"left": 1, "right": 2}, side="left", other=value)

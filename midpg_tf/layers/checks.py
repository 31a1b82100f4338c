"""Checks of arguments: what is expected and what was found, in one form."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np


def listed(**arguments: Any) -> None:
    """Raises ValueError if an argument is a text, or nothing that has items."""
    for key, value in arguments.items():
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError(f"{key}: expected a list, found {value!r}")


def at_least(bound: int, **arguments: Any) -> None:
    """Raises ValueError if an argument isn't one finite number, or too low."""
    for key, value in arguments.items():
        number = _number(value)
        if not isinstance(number, Real) or not math.isfinite(number):
            raise ValueError(f"{key}: expected a finite number, found {value!r}")
        if number < bound:
            raise ValueError(f"{key}: expected {bound} or more, found {value}")


def whole(bound: int, **arguments: Any) -> None:
    """Raises ValueError if an argument isn't one whole number, or too low."""
    at_least(bound, **arguments)
    for key, value in arguments.items():
        if not isinstance(_number(value), Integral):
            raise ValueError(f"{key}: expected a whole number, found {value!r}")


def all_whole(bound: int, **arguments: Any) -> None:
    """Raises ValueError if an argument isn't a list of numbers that are `whole`."""
    listed(**arguments)
    for key, value in arguments.items():
        for place, number in enumerate(value):
            whole(bound, **{f"{key}[{place}]": number})


def below_one(**arguments: Any) -> None:
    """Raises ValueError if an argument isn't a share from 0 to below 1."""
    for key, value in arguments.items():
        number = _number(value)
        if not isinstance(number, Real) or not 0 <= float(number) < 1:
            raise ValueError(
                f"{key}: expected a share from 0 to below 1, found {value!r}"
            )


def _number(value: Any) -> Any:
    """What a scalar tensor, or NumPy's, holds; None of a flag, which is a number."""
    number = np.asarray(value)[()] if hasattr(value, "__array__") else value
    return None if isinstance(number, (bool, np.bool_)) else number


def one_of(known: Collection[str], **arguments: str) -> None:
    """Raises ValueError if an argument isn't among the known ones."""
    for key, value in arguments.items():
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{key}: expected one of {tuple(known)}, found {value!r}")

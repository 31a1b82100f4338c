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
    """Raises ValueError if an argument, or a number in it, is too low or not finite."""
    for key, value in arguments.items():
        numbers = _numbers(value)
        if not all(isinstance(one, Real) and math.isfinite(one) for one in numbers):
            raise ValueError(f"{key}: expected finite numbers, found {value!r}")
        if min(numbers, default=bound) < bound:
            raise ValueError(f"{key}: expected {bound} or more, found {value}")


def whole(bound: int, **arguments: Any) -> None:
    """Raises ValueError if an argument, or a number in it, isn't whole or too low."""
    at_least(bound, **arguments)
    for key, value in arguments.items():
        if not all(isinstance(one, Integral) for one in _numbers(value)):
            raise ValueError(f"{key}: expected whole numbers, found {value}")


def below_one(**arguments: Any) -> None:
    """Raises ValueError if an argument isn't a share from 0 to below 1."""
    for key, value in arguments.items():
        if not all(
            isinstance(one, Real) and 0 <= float(one) < 1 for one in _numbers(value)
        ):
            raise ValueError(
                f"{key}: expected a share from 0 to below 1, found {value}"
            )


def _numbers(value: Any) -> list[Any]:
    if hasattr(value, "__array__"):  # a tensor, or NumPy's
        return list(np.ravel(value))
    return list(value) if isinstance(value, Iterable) else [value]


def one_of(known: Collection[str], **arguments: str) -> None:
    """Raises ValueError if an argument isn't among the known ones."""
    for key, value in arguments.items():
        if value not in known:
            raise ValueError(f"{key}: expected one of {tuple(known)}, found {value!r}")

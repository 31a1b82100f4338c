"""Checks of arguments: what is expected and what was found, in one form."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any


def listed(**arguments: Any) -> None:
    """Raises ValueError if an argument is a text, or nothing that has items."""
    for key, value in arguments.items():
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError(f"{key}: expected a list, found {value!r}")


def at_least(bound: int, **arguments: float | Iterable[float]) -> None:
    """Raises ValueError if an argument, or a number in it, is too low or not finite."""
    for key, value in arguments.items():
        numbers = list(value) if isinstance(value, Iterable) else [value]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"{key}: expected finite numbers, found {value}")
        if min(numbers, default=bound) < bound:
            raise ValueError(f"{key}: expected {bound} or more, found {value}")


def below_one(**arguments: float) -> None:
    """Raises ValueError if an argument isn't a share from 0 to below 1."""
    for key, value in arguments.items():
        if not 0 <= value < 1:
            raise ValueError(
                f"{key}: expected a share from 0 to below 1, found {value}"
            )


def one_of(known: Collection[str], **arguments: str) -> None:
    """Raises ValueError if an argument isn't among the known ones."""
    for key, value in arguments.items():
        if value not in known:
            raise ValueError(f"{key}: expected one of {tuple(known)}, found {value!r}")

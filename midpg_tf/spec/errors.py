"""Errors about what a person wrote: the data-set file, or a row of data."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from typing import Any

_LONGEST = 500
"""Characters, about, from which on what lists and mappings hold is cut short."""

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel = 2
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxset = _BRIEF.maxdict = 4


class SpecError(ValueError):
    """A data-set description can't be used; the message has one line a problem."""


class RowError(ValueError):
    """A row doesn't match the data-set description.

    Attributes:
        column: The column at fault.
        problem: What was expected and what was found.
    """

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(column, problem)
        self.column = column
        self.problem = problem

    def __str__(self) -> str:
        return f"column {self.column!r}: {self.problem}"


def shown(value: Any) -> str:
    """A value as messages show it: the start of a long list or mapping, else all.

    In YAML, a few lines of lists that repeat others can stand for gigabytes.
    """
    todo, length = [value], 0
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += [*one, *one.values()]
        elif isinstance(one, list | tuple | set):
            todo += one
        elif one is value:
            break
        length += len(one) if isinstance(one, str) else 2
        if length > _LONGEST:
            return _BRIEF.repr(value)
    return repr(value)


def did_you_mean(name: str, others: Sequence[str]) -> str:
    """The end of a message on a name that isn't there: which other one is like it."""
    close = difflib.get_close_matches(name, others, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

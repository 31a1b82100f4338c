"""Errors about what a person wrote: the data-set file, or a row of data."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


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


def did_you_mean(name: str, others: Sequence[str]) -> str:
    """The end of a message on a name that isn't there: which other one is like it."""
    close = difflib.get_close_matches(name, others, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

"""Errors about what a person wrote: the data-set file, or a row of data."""

from __future__ import annotations


class SpecError(ValueError):
    """A data-set description can't be used; the message has one line a problem."""


class RowError(ValueError):
    """A row doesn't match the data-set description.

    Attributes:
        column: The column at fault.
        problem: What was expected and what was found.
    """

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f"column {column!r}: {problem}")
        self.column = column
        self.problem = problem

"""What is predicted, and how it is read off a row."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from midpg_tf.spec.section import Column, Section


class LabelRule(Section):
    """How the label is read off a column: positive above a number, or at a value.

    Args:
        column: The column.
        greater_than: The label is 1 where the column's number is above this.
        equals: The label is 1 where the column's text is this. A row without text has
            no label, and is in error.
    """

    column: Column
    greater_than: float | None = None
    equals: str | None = None

    @model_validator(mode="after")
    def _have_one_condition(self) -> Self:
        if (self.greater_than is None) == (self.equals is None):
            raise ValueError("expected either greater_than or equals")
        return self


class Label(Section):
    """What is predicted: whether a row converted.

    Args:
        name: The label's name: float32, 0 or 1.
        from: How to read it off another column. Default: the column `name` itself
            holds it, as 0 or 1, or as a flag: `true` or `false`, in any case.
    """

    name: Column
    rule: Annotated[LabelRule | None, Field(alias="from")] = None

    @property
    def column(self) -> str:
        """The column of the raw data that tells the label."""
        return self.rule.column if self.rule else self.name

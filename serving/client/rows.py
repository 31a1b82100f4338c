"""Rows as callers have them, dictionaries or a DataFrame, and what is wrong in them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import tensorflow as tf

from midpg_tf.spec import DatasetSpec, ExampleEncoder, RowError

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
Rows: TypeAlias = "Iterable[Row] | pd.DataFrame"

_FRAME = "rows.iloc"
_FRAME_ROWS = 1000
_MAX_TEXT = 80


class RequestRowError(RowError):
    """A row of a request doesn't match the data-set description.

    Args:
        index: Position of the row in the request, from 0; `None` for the context.
        error: What is wrong with the row.
        rows: What to call the rows.

    Attributes:
        index: Position of the row in the request, from 0; `None` for the context.
    """

    def __init__(self, index: int | None, error: RowError, rows: str = "rows") -> None:
        super().__init__(error.column, error.problem)
        # Whoever unpickles it, such as a pool of processes, calls it with these.
        self.args = (index, error, rows)
        self.index = index
        self._where = "context" if index is None else f"{rows}[{index}]"

    def __str__(self) -> str:
        return f"{self._where}: {super().__str__()}"


class RowSource:
    """The rows of a call, one after the other, and the words to point at one.

    A missing value of a DataFrame (None, NaN, NaT or NA) is an empty cell, as an empty
    cell of a training file is.

    Iterating raises RequestRowError for a DataFrame with one of the columns twice.

    Args:
        rows: Dictionaries, or a DataFrame.
        columns: The columns to take from a DataFrame, if it has them.

    Raises:
        TypeError: They are neither.
    """

    def __init__(self, rows: Rows, columns: Collection[str]) -> None:
        if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
            raise TypeError(
                "rows: expected an iterable of dictionaries or a DataFrame, found"
                f" {type(rows).__name__}; put a single row in a list"
            )
        self._rows = rows
        self._columns = columns
        self._name = _FRAME if _is_frame(rows) else "rows"

    def __iter__(self) -> Iterator[Row]:
        if _is_frame(self._rows):
            yield from _frame_rows(self._rows, self._columns)
            return
        for index, row in enumerate(self._rows):
            if not isinstance(row, Mapping):
                raise TypeError(
                    f"rows[{index}]: expected a dictionary of values by column, found"
                    f" {repr(row)[:_MAX_TEXT]} ({type(row).__name__})"
                )
            yield row

    def columns(self, row: Row) -> Iterable[Any]:
        """Returns the names of the columns that a row came with."""
        return self._rows.columns if _is_frame(self._rows) else row

    def error(self, index: int, error: RowError) -> RequestRowError:
        """Returns what is wrong with a row as an error that says which it is."""
        return RequestRowError(index, error, self._name)


class RowEncoder:
    """Turns the rows of a request into tf.Examples.

    Args:
        spec: Description of the rows.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        self._spec = spec
        self.columns = tuple(spec.features)

    def whole(
        self, source: RowSource, rows: Sequence[tuple[int, Row]]
    ) -> list[tf.train.Example]:
        """Encodes rows that have every feature.

        Args:
            source: Where they come from.
            rows: Each with its position.

        Raises:
            RequestRowError: A row lacks a column, or has a wrong value in it.
        """
        return self._encode(source, self.columns, rows, {})

    def split(
        self, source: RowSource, rows: Sequence[tuple[int, Row]], context: Row
    ) -> tuple[tf.train.Example, list[tf.train.Example]]:
        """Encodes rows of a common context.

        No feature is in both: TensorFlow, which would take the row's, warns of a loss
        of data in each of these. If any row has a value of its own, all rows have one.

        Args:
            source: Where they come from.
            rows: Each with its position.
            context: Values of columns that the rows don't have, or replace.

        Returns:
            The context, and what is a row's own.

        Raises:
            RequestRowError: A column is neither in the context nor in a row, or has a
                wrong value in it.
        """
        in_rows = {column for _, row in rows for column in row}
        shared = [c for c in self.columns if c in context and c not in in_rows]
        own = [c for c in self.columns if c not in shared]
        try:
            example = self._encoder(shared).encode(context)
        except RowError as error:
            raise RequestRowError(None, error) from error
        return example, self._encode(source, own, rows, context)

    def _encode(
        self,
        source: RowSource,
        columns: Collection[str],
        rows: Iterable[tuple[int, Row]],
        context: Row,
    ) -> list[tf.train.Example]:
        encoder = self._encoder(columns)
        examples = []
        for index, row in rows:
            try:
                examples.append(encoder.encode({**context, **row}))
            except RowError as error:
                found = dict.fromkeys([*context, *source.columns(row)])
                raise source.error(index, self._explain(error, found)) from error
        return examples

    def _encoder(self, columns: Collection[str]) -> ExampleEncoder:
        features = {name: self._spec.features[name] for name in columns}
        return ExampleEncoder(self._spec.model_copy(update={"features": features}))

    def _explain(self, error: RowError, found: Collection[Any]) -> RowError:
        if error.column in found:
            return error
        expected, names = ", ".join(self.columns), ", ".join(map(str, found))
        return RowError(
            error.column, f"expected the columns {expected}; found {names or 'none'}"
        )


def _is_frame(rows: object) -> TypeGuard[pd.DataFrame]:
    # Who has a DataFrame has imported pandas, which the client itself doesn't need.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(rows, pandas.DataFrame)


def _frame_rows(frame: pd.DataFrame, columns: Collection[str]) -> Iterator[Row]:
    names = [name for name in dict.fromkeys(columns) if name in frame.columns]
    for name in names:
        if (times := list(frame.columns).count(name)) != 1:
            problem = f"expected this column once in the DataFrame, found it {times}"
            # It is as wrong in all rows as in the first.
            raise RequestRowError(0, RowError(name, f"{problem} times"), _FRAME)
    for start in range(0, len(frame), _FRAME_ROWS):
        part = frame.iloc[start : start + _FRAME_ROWS]
        values = [_cells(part[name]) for name in names]
        for position in range(len(part)):
            yield {
                name: column[position]
                for name, column in zip(names, values, strict=True)
            }


def _cells(column: pd.Series[Any]) -> list[Any]:
    return [
        "" if missing else value
        for value, missing in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]

"""Batches of rows as they travel between Beam workers, whatever file they are from."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError

from midpg_tf.spec import RowError, plain
from transform.summary import RowIssue

BATCH_ROWS = 2048
"""Most rows of a Parquet or TFRecord batch: some 0.1 s of a worker's time."""

# What Arrow has and Python hasn't: times out of range or of an unknown zone, and text
# that isn't UTF-8.
_UNREADABLE = (ValueError, ArithmeticError, LookupError)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What one worker reads: a file, or a row group of a Parquet file.

    Attributes:
        path: The file.
        split: The split that all its rows belong to; None if each row decides.
        row_group: Index of the row group; None for the whole file.
        first_row: Number of the chunk's first row.
    """

    path: str
    split: str | None
    row_group: int | None = None
    first_row: int = 1


@dataclasses.dataclass(frozen=True)
class Batch:
    """Consecutive rows of a chunk.

    Attributes:
        chunk: The chunk.
        numbers: The rows' numbers in the file. They start at 1, except in CSV, where
            they start at 2, as in a spreadsheet: the header is row 1.
        data: The needed columns, or serialized tf.Examples.
        issues: What couldn't be read near these rows.
    """

    chunk: Chunk
    numbers: Sequence[int]
    data: pa.RecordBatch | list[bytes]
    issues: tuple[RowIssue, ...] = ()

    def rows(
        self, multivalued: Collection[str]
    ) -> Iterator[tuple[int, Mapping[str, Any] | RowIssue]]:
        """Each row's number, and its values by column or what is wrong with it.

        An empty cell is an empty string, no matter whether the file has text or a
        null there.

        Args:
            multivalued: The features of tf.Examples to give as lists.
        """
        if isinstance(self.data, pa.RecordBatch):
            names = self.data.schema.names
            unreadable: dict[int, RowError] = {}
            columns = [
                _values(name, column, unreadable)
                for name, column in zip(names, self.data.columns, strict=True)
            ]
            for index, (number, row) in enumerate(
                zip(self.numbers, zip(*columns, strict=True), strict=True)
            ):
                if index in unreadable:
                    error = unreadable[index]
                    yield number, RowIssue.of(self.chunk.path, number, error)
                else:
                    yield number, dict(zip(names, row, strict=True))
            return
        for number, record in zip(self.numbers, self.data, strict=True):
            try:
                yield number, example_values(record, multivalued)
            except DecodeError:
                problem = f"expected a serialized tf.Example, found {record[:40]!r}"
                yield (
                    number,
                    RowIssue(file=self.chunk.path, row=number, problem=problem),
                )


def _values(name: str, column: pa.Array, unreadable: dict[int, RowError]) -> list[Any]:
    """A column's values; adds what can't be read, by its index, to `unreadable`."""
    values: Iterable[Any]
    try:
        values = column.to_pylist()
    except _UNREADABLE:
        values = _readable(name, column, unreadable)
    if pa.types.is_decimal(column.type):
        values = map(plain, values)
    return ["" if value is None else value for value in values]


def _readable(
    name: str, column: pa.Array, unreadable: dict[int, RowError]
) -> Iterator[Any]:
    for index, cell in enumerate(column):
        try:
            yield cell.as_py()
        except _UNREADABLE as error:
            found = f"{type(error).__name__}: {error}"
            problem = f"expected a value that can be read, found: {found}"
            unreadable.setdefault(index, RowError(name, problem))
            yield None


def example_values(record: bytes, multivalued: Collection[str]) -> dict[str, Any]:
    """A row out of a serialized tf.Example.

    Args:
        record: The serialized tf.Example.
        multivalued: The features to give as lists.

    Returns:
        By feature: its value, the empty string if it has none, or a list if it has
        several. Text that is no UTF-8 stays bytes.

    Raises:
        DecodeError: If the record is none.
    """
    features = tf.train.Example.FromString(record).features.feature
    row: dict[str, Any] = {}
    for name, feature in features.items():
        kind = feature.WhichOneof("kind")
        values = [_text(v) for v in getattr(feature, kind).value] if kind else []
        if name in multivalued or len(values) > 1:
            row[name] = values
        else:
            row[name] = values[0] if values else ""
    for name in multivalued:
        row.setdefault(name, [])
    return row


def _text(value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value

"""Assigns rows to the splits train, eval and test."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from midpg_tf.spec import (
    SPLITS,
    ColumnSplit,
    HashSplit,
    RowError,
    Split,
    TimeSplit,
    as_text,
    is_empty,
)

Assign = Callable[[Mapping[str, Any], bytes], str]
"""From a row, and a key that tells it from others, to its split; raises RowError."""


class Moment(NamedTuple):
    """A point in time.

    Attributes:
        is_date: Whether the cell holds a date, rather than a number.
        value: Seconds since 1970 in UTC, or the number.
    """

    is_date: bool
    value: float

    def __str__(self) -> str:
        if self.is_date:
            return datetime.datetime.fromtimestamp(self.value, datetime.UTC).isoformat()
        return f"{self.value:.15g}"


@dataclasses.dataclass(frozen=True)
class Boundaries:
    """Where the eval and the test split begin.

    Attributes:
        is_date: Whether the cells of the column are dates, rather than numbers.
        eval: The first moment of the eval split.
        test: The first moment of the test split.
    """

    is_date: bool
    eval: float
    test: float


def moment(column: str, value: Any) -> Moment:
    """Reads a cell of the column that rows are split by.

    Args:
        column: The column.
        value: A date or a number, or either as text. A date without a time zone is
            taken as UTC.

    Raises:
        RowError: If it is neither.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        date = _date(value)
        if date is not None:
            return Moment(True, date.timestamp())
    else:
        if math.isfinite(number):
            return Moment(False, number)
    raise RowError(column, f"expected a number or an ISO 8601 date, found {value!r}")


def _date(value: Any) -> datetime.datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    if isinstance(value, datetime.date):
        return datetime.datetime.combine(value, datetime.time(tzinfo=datetime.UTC))
    return None


class FindBoundaries(beam.CombineFn):
    """From lists of moments to boundaries; None if there is no moment.

    Rows of one moment stay together, so the eval split may be larger than its share.
    If a column has both dates and numbers, the more frequent kind counts. One float
    a row is held in memory.

    Args:
        split: The split by time.
    """

    def __init__(self, split: TimeSplit) -> None:
        self._split = split

    def create_accumulator(self) -> dict[bool, list[np.ndarray]]:
        # By `Moment.is_date`.
        return {False: [], True: []}

    def add_input(
        self, found: dict[bool, list[np.ndarray]], moments: list[Moment]
    ) -> dict[bool, list[np.ndarray]]:
        for is_date, arrays in found.items():
            values = [m.value for m in moments if m.is_date == is_date]
            arrays.append(np.array(values, np.float64))
        return found

    def merge_accumulators(
        self, parts: Iterable[dict[bool, list[np.ndarray]]]
    ) -> dict[bool, list[np.ndarray]]:
        found = self.create_accumulator()
        for part in parts:
            for is_date, arrays in part.items():
                found[is_date] += arrays
        return found

    def extract_output(self, found: dict[bool, list[np.ndarray]]) -> Boundaries | None:
        sizes = {k: sum(map(len, arrays)) for k, arrays in found.items()}
        is_date = sizes[True] > sizes[False]
        size = sizes[is_date]
        if size == 0:
            return None
        test = size - max(1, round(size * self._split.test))
        evaluation = max(0, test - max(1, round(size * self._split.eval)))
        moments = np.partition(np.concatenate(found[is_date]), [evaluation, test])
        first_eval, first_test = moments[evaluation], moments[test]
        if first_eval == first_test:
            # All rows of both are of one moment, such as a day, and the eval split
            # would be empty: let it have the moment before.
            earlier = moments[moments < first_test]
            first_eval = earlier.max() if earlier.size else first_eval
        return Boundaries(is_date, float(first_eval), float(first_test))


def assigner(split: Split, boundaries: Boundaries | None) -> Assign:
    """How rows are assigned to splits.

    Args:
        split: The description. Not by files: then there is nothing to decide.
        boundaries: For a split by time.
    """
    if isinstance(split, TimeSplit):
        # Without any moment, each row is in error before it is compared.
        return _by_time(split.column, boundaries or Boundaries(False, 0.0, 0.0))
    if isinstance(split, ColumnSplit):
        return _by_column(split.column)
    if isinstance(split, HashSplit):
        return _by_hash(split)
    raise ValueError(f"expected a split by time, column or hash, found {split.by!r}")


def _by_time(column: str, boundaries: Boundaries) -> Assign:
    def assign(row: Mapping[str, Any], key: bytes) -> str:
        is_date, value = moment(column, row.get(column))
        if is_date != boundaries.is_date:
            kind = "a date" if boundaries.is_date else "a number"
            raise RowError(
                column, f"expected {kind} as in most rows, found {row[column]!r}"
            )
        # Equal moments compare equally, so they are never torn apart.
        if value >= boundaries.test:
            return "test"
        return "eval" if value >= boundaries.eval else "train"

    return assign


def _by_column(column: str) -> Assign:
    def assign(row: Mapping[str, Any], key: bytes) -> str:
        value = row.get(column)
        if value not in SPLITS:
            raise RowError(column, f"expected one of {list(SPLITS)}, found {value!r}")
        return str(value)

    return assign


def _key_text(column: str, value: Any) -> str:
    """The text of a cell: 7 and true in Parquet go where they go in CSV."""
    if is_empty(value):
        return ""
    try:
        return as_text(column, value).decode(errors="surrogateescape")
    except RowError:
        return str(value)


def lacks_key(split: Split, row: Mapping[str, Any]) -> bool:
    """Whether a row has no value in any of the columns that a hash is to be of.

    Args:
        split: The description.
        row: Its cells by column.
    """
    if not isinstance(split, HashSplit) or not split.columns:
        return False
    return not any(_key_text(name, row.get(name)) for name in split.columns)


def _by_hash(split: HashSplit) -> Assign:
    salt = split.seed.to_bytes(hashlib.blake2b.SALT_SIZE, "big")

    def assign(row: Mapping[str, Any], key: bytes) -> str:
        values = [_key_text(name, row.get(name)) for name in split.columns]
        # All that have no value, such as guests, would go one way.
        if any(values):
            key = json.dumps(values).encode()
        digest = hashlib.blake2b(key, digest_size=8, salt=salt).digest()
        share = int.from_bytes(digest, "big") / 2**64
        if share < split.test:
            return "test"
        return "eval" if share < split.test + split.eval else "train"

    return assign

"""Reads rows from CSV and Parquet files, a few at a time, and says where each is."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import itertools
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

SUFFIXES = (".csv", ".parquet")

_LINE_END = re.compile(rb"\r\n?|\n")

# What Arrow has and Python hasn't: times out of range or of an unknown zone, and text
# that isn't UTF-8.
_UNREADABLE = (ValueError, ArithmeticError, LookupError)


class RowFileError(ValueError):
    """A file of rows can't be used; the message says where and why."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Consecutive rows of a file.

    Attributes:
        numbers: The number of each row's line (CSV) or of the row (Parquet), from 1.
        rows: Values by column, as they are in the file.
        read: Share of the file that has been read, from 0 to 1.
    """

    numbers: Sequence[int]
    rows: Sequence[Mapping[str, Any]]
    read: float


class RowFile(Protocol):
    """A file of rows.

    Attributes:
        columns: Names of its columns.
        unit: What its numbers count: `line`, or `row`.
    """

    columns: Sequence[str]
    unit: str

    def batches(self, size: int) -> Iterator[Batch]:
        """Reads the rows, at most `size` at a time.

        Raises:
            RowFileError: A part of the file can't be read.
        """

    def where(self, number: int) -> str:
        """Returns where a row is, given its number."""

    def schema(self) -> Any:
        """Returns the columns' types as an Arrow schema."""


class CsvRows:
    """A CSV file in UTF-8 with a header line. All values are text.

    Of several columns without a name, as commas at the ends of lines make them, there
    is none.

    Args:
        path: The file.

    Raises:
        OSError: It can't be opened.
        RowFileError: It has no header line.
    """

    unit = "line"

    def __init__(self, path: Path) -> None:
        self._path = path
        header = next(self._records(), None)
        if header is None:
            raise RowFileError(f"{path}: expected a header line, found none")
        self._header = header[1]
        unnamed = self._header.count("")
        self.columns: Sequence[str] = [
            name for name in self._header if name or unnamed == 1
        ]

    def batches(self, size: int) -> Iterator[Batch]:
        total = self._path.stat().st_size
        numbers: list[int] = []
        rows: list[dict[str, str]] = []
        for number, cells, read in itertools.islice(self._records(), 1, None):
            if len(cells) != len(self._header):
                raise RowFileError(
                    f"{self.where(number)}: expected {len(self._header)} cells,"
                    f" found {len(cells)}"
                )
            numbers.append(number)
            rows.append(dict(zip(self._header, cells, strict=True)))
            if len(rows) == size:
                yield Batch(numbers, rows, read / total)
                numbers, rows = [], []
        if rows:
            yield Batch(numbers, rows, 1.0)

    def where(self, number: int) -> str:
        return f"{self._path}, {self.unit} {number}"

    def schema(self) -> Any:
        pa = arrow()
        return pa.schema([(name, pa.string()) for name in self.columns])

    def _records(self) -> Iterator[tuple[int, list[str], int]]:
        """Each record that isn't empty: its first line's number, cells, bytes read."""
        with (
            self._path.open("rb") as file,
            # The mark that Excel puts in front is not part of the first column's name.
            io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text,
        ):
            reader = csv.reader(text, strict=True)
            while True:
                start = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    raise RowFileError(
                        f"{self.where(start)}: {error}{_advice(error)}"
                    ) from error
                except UnicodeDecodeError as error:
                    # A block of the file; the whole lines before it are read.
                    before = error.object[: error.start]
                    line = reader.line_num + 1 + len(_LINE_END.findall(before))
                    raise RowFileError(
                        f"{self.where(line)}: expected UTF-8, found the byte"
                        f" {error.object[error.start]:#04x}; write the file anew in"
                        " UTF-8"
                    ) from error
                if cells:
                    yield start, cells, file.tell()


def _advice(error: csv.Error) -> str:
    """The end of a message on a quoted cell that goes on behind a quote."""
    if str(error).endswith("expected after '\"'"):
        return "; write quotes within a cell twice, not behind a backslash"
    return ""


class ParquetRows:
    """A Parquet file.

    Args:
        path: The file.
        read: The columns to read. Default: all.

    Raises:
        OSError: It can't be opened.
        RowFileError: It isn't Parquet, or pyarrow is missing.
    """

    unit = "row"

    def __init__(self, path: Path, read: Collection[str] | None = None) -> None:
        self._path = path
        self._read = None if read is None else list(read)
        with self._open() as file:
            self._schema = file.schema_arrow
        self.columns: Sequence[str] = self._schema.names

    def batches(self, size: int) -> Iterator[Batch]:
        number = 1
        with self._open() as file:
            for found in file.iter_batches(size, columns=self._read):
                numbers = range(number, number + len(found))
                number += len(found)
                read = (number - 1) / file.metadata.num_rows
                try:
                    rows = found.to_pylist()
                except _UNREADABLE:
                    self._tell_unreadable(found, numbers)
                    raise
                yield Batch(numbers, rows, read)

    def where(self, number: int) -> str:
        return f"{self._path}, {self.unit} {number}"

    def schema(self) -> Any:
        return self._schema

    def _tell_unreadable(self, batch: Any, numbers: Sequence[int]) -> None:
        """Raises RowFileError, with the first cell of a batch that can't be read."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            for number, cell in zip(numbers, column, strict=True):
                try:
                    cell.as_py()
                except _UNREADABLE as error:
                    raise RowFileError(
                        f"{self.where(number)}: column {name!r}: expected a value that"
                        f" can be read, found: {type(error).__name__}: {error}"
                    ) from error

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        pyarrow = arrow()
        try:
            with pyarrow.parquet.ParquetFile(self._path) as file:
                yield file
        except pyarrow.ArrowInvalid as error:
            raise RowFileError(
                f"{self._path}: expected a Parquet file, found: {error}"
            ) from error


def open_rows(
    path: Path, needed: Collection[str] = (), *, others: bool = True
) -> RowFile:
    """Opens a file of rows.

    Args:
        path: A file whose name ends in `.csv` or `.parquet`.
        needed: The columns that it must have.
        others: Whether other columns are of use, too; otherwise rows of Parquet may
            lack them, and any of them may be there twice. Default True.

    Raises:
        RowFileError: It can't be opened, isn't what its name says, lacks a column that
            is needed, or has one of use twice: rows would have the last one's values.
    """
    file: RowFile
    try:
        if path.suffix == ".csv":
            file = CsvRows(path)
        else:
            file = ParquetRows(path, None if others else needed)
    except OSError as error:
        # What pyarrow says of a file has its name once more.
        reason = os.strerror(error.errno) if error.errno else error
        raise RowFileError(
            f"{path}: expected a file of rows, found {reason}"
        ) from error
    for name in file.columns if others else needed:
        if file.columns.count(name) > 1:
            raise RowFileError(
                f"{path}: expected each column once, found {name!r} again"
            )
    missing = [name for name in needed if name not in file.columns]
    if missing:
        raise RowFileError(
            f"{path}: expected the columns {', '.join(needed)}; found"
            f" {', '.join(file.columns)}; missing: {', '.join(missing)}"
        )
    return file


def arrow() -> Any:
    """Returns pyarrow, with its Parquet part.

    Raises:
        RowFileError: It isn't installed.
    """
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise RowFileError(
            "Parquet files need pyarrow, found none: pip install pyarrow, or use CSV"
        ) from error
    return pyarrow

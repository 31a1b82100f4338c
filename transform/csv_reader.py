"""Reads CSV files in blocks, with Arrow's parser, and numbers their rows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.csv
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from midpg_tf.spec.section import is_remote
from transform.batches import Batch, Chunk
from transform.csv_quotes import QuoteCheck
from transform.errors import IngestError
from transform.summary import RowIssue

# Some 10,000 rows. A row can't be longer.
_BLOCK_BYTES = 1 << 20
_MAX_TEXT = 80

_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


def column_names(path: str) -> list[str]:
    """The names in the header line, repeated ones included.

    Raises:
        IngestError: If there is no header line, it can't be read as UTF-8, what is
            between its names is no comma, or one of the first rows has neither the
            cells of the header nor UTF-8.
    """
    try:
        return _header(path)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        invalid = _invalid_row(path, error)
        if invalid is not None:
            raise IngestError(str(invalid)) from error
        raise IngestError(
            f"{path}: expected CSV with a header line in UTF-8, found: {error}; check"
            " data.format"
        ) from error


def chunks(path: str, split: str | None) -> Iterator[Chunk]:
    """The file itself: quoted line breaks forbid to start in the middle of one."""
    yield Chunk(path, split, first_row=2)


def read(chunk: Chunk, columns: Sequence[str]) -> Iterator[Batch]:
    """Reads the columns as text; what can't be read goes to the batches' issues.

    So does a quote that takes other rows into its cell, be that read or not.

    Args:
        chunk: What to read.
        columns: The columns to load.

    Yields:
        Batches, at least one.
    """
    # Arrow parses ahead: rows that it skipped may belong to batches yet to come.
    skipped: list[pyarrow.csv.InvalidRow] = []

    def on_invalid_row(row: pyarrow.csv.InvalidRow) -> str:
        skipped.append(row)
        return "skip"

    number = chunk.first_row
    issues: list[RowIssue] = []
    with _stream(chunk.path) as file:
        quotes = QuoteCheck(file)
        try:
            for data in _open(quotes, columns, on_invalid_row):
                numbers = _leave_out({row.number for row in skipped}, number, len(data))
                number = numbers[-1] + 1 if numbers else number
                passed = [row for row in skipped if row.number < number]
                del skipped[: len(passed)]
                yield Batch(chunk, numbers, data, _issues(chunk, passed))
        except (pa.ArrowInvalid, OSError) as error:
            issues.append(_end(chunk, error, quotes.open_since(_BLOCK_BYTES)))
    if quotes.problem is not None:
        issues.append(RowIssue(file=chunk.path, problem=quotes.problem))
    yield Batch(chunk, (), [], (*_issues(chunk, skipped), *issues))


def _header(path: str) -> list[str]:
    with _stream(path) as file:
        head = file.read(_BLOCK_BYTES)
    line = head.partition(b"\n")[0]
    # Arrow would quote it.
    if b"\0" in line:
        raise pa.ArrowInvalid("a binary file, or UTF-16")
    # Before Arrow sees in the rows what comes of it: a comma may be part of a number.
    unquoted = re.sub(rb'"[^"]*"', b"", line)
    for separator in ";\t":
        if separator.encode() in unquoted and b"," not in unquoted:
            raise IngestError(
                f"{path}, line 1: expected commas between cells, found {separator!r};"
                " write it anew with commas, in UTF-8"
            )
    if len(head) == _BLOCK_BYTES:
        head = head[: head.rfind(b"\n") + 1] or head
    # In this thread. That of `open_csv` may still have to let go of the function when
    # the process ends, since the header is wrong, which is then aborted.
    table = pyarrow.csv.read_csv(
        pa.BufferReader(head), **_options(None, lambda _: "skip")
    )
    return list(table.schema.names)


def _stream(path: str) -> pa.NativeFile:
    # Arrow reads ahead in a thread of its own. Where that is in Python, as Beam's files
    # are, a process that ends meanwhile is aborted, too.
    file = (
        FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        if is_remote(path)
        else path
    )
    return pa.input_stream(file, compression=_CODECS.get(PurePath(path).suffix))


def _open(
    file: pa.NativeFile | QuoteCheck,
    columns: Sequence[str] | None,
    on_invalid_row: Callable[[pyarrow.csv.InvalidRow], str],
) -> pyarrow.csv.CSVStreamingReader:
    return pyarrow.csv.open_csv(file, **_options(columns, on_invalid_row))


def _options(
    columns: Sequence[str] | None,
    on_invalid_row: Callable[[pyarrow.csv.InvalidRow], str],
) -> dict[str, Any]:
    return {
        # Arrow knows the number of an invalid row only when it parses serially.
        "read_options": pyarrow.csv.ReadOptions(
            use_threads=False, block_size=_BLOCK_BYTES
        ),
        "parse_options": pyarrow.csv.ParseOptions(
            newlines_in_values=True, invalid_row_handler=on_invalid_row
        ),
        # Types that Arrow infers would make 7 of the id `007`.
        "convert_options": pyarrow.csv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns or (), pa.string()),
        ),
    }


def _end(chunk: Chunk, error: Exception, open_line: int | None) -> RowIssue:
    """Why a file can't be read any further."""
    invalid = _invalid_row(chunk.path, error)
    if invalid is not None:
        return invalid
    if "invalid UTF8" in str(error):
        row = re.search(r"Row #(\d+)", str(error))
        return RowIssue(
            file=chunk.path,
            row=int(row[1]) if row else None,
            problem="expected UTF-8, found other bytes; write the file anew in UTF-8",
        )
    problem = (
        "expected CSV in UTF-8, every quote closed and every row below"
        f" {_BLOCK_BYTES >> 20} MiB, found: {error}"
    )
    if open_line is not None:
        problem += f"; a quote is open since line {open_line}"
    return RowIssue(file=chunk.path, problem=problem)


def _invalid_row(path: str, error: Exception) -> RowIssue | None:
    """The row that Arrow can't hand to `on_invalid_row`, since it isn't UTF-8."""
    row = re.search(
        r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", str(error), re.DOTALL
    )
    if row is None:
        return None
    problem = (
        f"expected {row[2]} cells, found {row[3]}, and not in UTF-8:"
        f" {row[4][:_MAX_TEXT]!r}; write the file anew in UTF-8"
    )
    return RowIssue(file=path, row=int(row[1]), problem=problem)


def _leave_out(left_out: set[int], first: int, count: int) -> Sequence[int]:
    """`count` numbers from `first` on, without those left out."""
    if not left_out:
        return range(first, first + count)
    numbers = (number for number in itertools.count(first) if number not in left_out)
    return list(itertools.islice(numbers, count))


def _issues(
    chunk: Chunk, rows: Iterable[pyarrow.csv.InvalidRow]
) -> tuple[RowIssue, ...]:
    return tuple(
        RowIssue(
            file=chunk.path,
            row=row.number,
            problem=f"expected {row.expected_columns} cells, found"
            f" {row.actual_columns}: {row.text[:_MAX_TEXT]!r}",
        )
        for row in rows
    )

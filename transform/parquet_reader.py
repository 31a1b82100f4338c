"""Reads Parquet files by row group, so that one file can keep many workers busy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transform.batches import BATCH_ROWS, Batch, Chunk
from transform.errors import IngestError
from transform.summary import RowIssue


def column_names(path: str) -> list[str]:
    """The names in the file's schema.

    Raises:
        IngestError: If the file isn't Parquet.
    """
    try:
        with _open(path) as file:
            return list(file.schema_arrow.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise IngestError(f"{path}: expected a Parquet file, found: {error}") from error


def chunks(path: str, split: str | None) -> Iterator[Chunk]:
    """The row groups; the whole file if it has none."""
    with _open(path) as file:
        metadata = file.metadata
    first_row = 1
    for index in range(metadata.num_row_groups):
        yield Chunk(path, split, index, first_row)
        first_row += metadata.row_group(index).num_rows
    if not metadata.num_row_groups:
        yield Chunk(path, split)


def read(chunk: Chunk, columns: Sequence[str]) -> Iterator[Batch]:
    """Reads columns of a row group; what can't be read goes to the batches' issues.

    Args:
        chunk: What to read.
        columns: The columns to load.

    Yields:
        Batches, at least one.
    """
    number = chunk.first_row
    issues: tuple[RowIssue, ...] = ()
    groups = [] if chunk.row_group is None else [chunk.row_group]
    try:
        with _open(chunk.path) as file:
            for data in file.iter_batches(BATCH_ROWS, groups, list(columns)):
                yield Batch(chunk, range(number, number + len(data)), data)
                number += len(data)
    except (pa.ArrowInvalid, OSError) as error:
        problem = f"expected a readable row group {chunk.row_group}, found: {error}"
        issues = (RowIssue(file=chunk.path, row=number, problem=problem),)
    yield Batch(chunk, (), [], issues)


@contextlib.contextmanager
def _open(path: str) -> Iterator[pyarrow.parquet.ParquetFile]:
    with (
        FileSystems.open(
            path, compression_type=CompressionTypes.UNCOMPRESSED
        ) as stream,
        pyarrow.parquet.ParquetFile(stream) as file,
    ):
        yield file

"""The reader of each file format, by the name that a data-set file gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from transform import csv_reader, parquet_reader, tfrecord_reader
from transform.batches import Batch, Chunk


class Reader(Protocol):
    """What a module that reads a file format has."""

    def column_names(self, path: str) -> list[str]:
        """The columns of a file; raises IngestError if it can't be read."""

    def chunks(self, path: str, split: str | None) -> Iterator[Chunk]:
        """The parts of a file that can be read independently."""

    def read(self, chunk: Chunk, columns: Sequence[str]) -> Iterator[Batch]:
        """Batches of a chunk, at least one; problems are in their `issues`."""


READERS: Mapping[str, Reader] = {
    "csv": csv_reader,
    "parquet": parquet_reader,
    "tfrecord": tfrecord_reader,
}

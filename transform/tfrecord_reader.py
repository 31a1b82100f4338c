"""Reads TFRecord files of tf.Example, and finds the record that is corrupted."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError

from transform.batches import BATCH_ROWS, Batch, Chunk
from transform.errors import IngestError
from transform.summary import RowIssue

# Length and checksums around a record.
_FRAME_BYTES = 16


def column_names(path: str) -> list[str]:
    """The features of the first record.

    Raises:
        IngestError: If the file has no record, or the first can't be read.
    """
    try:
        for record in _dataset(path).take(1).as_numpy_iterator():
            return sorted(tf.train.Example.FromString(record).features.feature)
    except (tf.errors.DataLossError, DecodeError) as error:
        raise IngestError(
            f"{path}, record 1: expected a TFRecord file of tf.Example, found:"
            f" {_message(error)}; names of GZIP files must end in .gz"
        ) from error
    raise IngestError(f"{path}: expected records, found an empty file")


def chunks(path: str, split: str | None) -> Iterator[Chunk]:
    """The file itself: the format has no index of its records."""
    yield Chunk(path, split)


def read(chunk: Chunk, columns: Sequence[str]) -> Iterator[Batch]:
    """Reads serialized tf.Examples; a corrupted record goes to the batches' issues.

    Args:
        chunk: What to read.
        columns: Not used: records are read whole.

    Yields:
        Batches, at least one.
    """
    del columns
    dataset = _dataset(chunk.path)
    read_so_far = size = 0
    issues: tuple[RowIssue, ...] = ()
    records: list[bytes] = []
    try:
        for batch in dataset.batch(BATCH_ROWS).as_numpy_iterator():
            yield _batch(chunk, read_so_far, batch.tolist())
            read_so_far += len(batch)
            size += sum(len(record) + _FRAME_BYTES for record in batch)
        if not _is_whole(chunk.path, size):
            problem = "expected a whole record, found the end of the file in it"
            issues = (RowIssue(file=chunk.path, row=read_so_far + 1, problem=problem),)
    except tf.errors.DataLossError:
        # The batch is lost as a whole: take it record by record to find which one.
        try:
            records.extend(dataset.skip(read_so_far).as_numpy_iterator())
        except tf.errors.DataLossError as error:
            row = read_so_far + len(records) + 1
            problem = f"expected a whole record, found: {_message(error)}"
            issues = (RowIssue(file=chunk.path, row=row, problem=problem),)
    yield _batch(chunk, read_so_far, records, issues)


def _dataset(path: str) -> tf.data.TFRecordDataset:
    return tf.data.TFRecordDataset(path, "GZIP" if path.endswith(".gz") else "")


def _is_whole(path: str, size: int) -> bool:
    """Whether a file is as long as its records are.

    TensorFlow takes a file that is cut off in a record's first bytes, and a GZIP
    stream that is cut off there, for one that ends with the record before.
    """
    with tf.io.gfile.GFile(path, "rb") as file:
        if not path.endswith(".gz"):
            return int(file.size()) == size
        file.seek(file.size() - 4)
        if int.from_bytes(file.read(4), "little") == size % 2**32:
            return True
        # The trailer has the size of the last member alone, if there are several.
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return sum(map(len, iter(lambda: stream.read(1 << 20), b""))) == size
        except (OSError, EOFError, zlib.error):
            return False


def _batch(
    chunk: Chunk,
    read_so_far: int,
    records: list[bytes],
    issues: tuple[RowIssue, ...] = (),
) -> Batch:
    first = chunk.first_row + read_so_far
    return Batch(chunk, range(first, first + len(records)), records, issues)


def _message(error: Exception) -> str:
    # TensorFlow's own words, without the operation and the device.
    return re.sub(r"\{\{.*?\}\} ?| \[Op:.*", "", str(error))

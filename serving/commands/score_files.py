"""Writes rows with their scores to CSV and Parquet files, which are whole or absent."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from midpg_tf.spec import DatasetSpec, MultivaluedFeature
from serving.commands.row_files import RowFile, RowFileError, arrow

#: The column that is added.
SCORE = "score"

Write = Callable[[Sequence[Mapping[str, Any]], np.ndarray], None]


@contextlib.contextmanager
def score_file(path: Path, rows: RowFile, spec: DatasetSpec) -> Iterator[Write]:
    """Opens a file for rows and scores, which has its name once all are in it.

    Args:
        path: A file whose name ends in `.csv` or `.parquet`; replaced if it is there.
        rows: Where the rows come from, which gives the columns. A Parquet file keeps
            their types.
        spec: Description of the rows: a list of values becomes a cell with its
            separator.

    Yields:
        Writes rows and their scores, float32 (n,).

    Raises:
        OSError: The file can't be written.
        RowFileError: The rows have a column `score`, the file's folder isn't there, or
            pyarrow is missing.
    """
    if SCORE in rows.columns:
        raise RowFileError(
            f"expected rows without a column {SCORE!r}, which the output adds; found"
            f" {', '.join(rows.columns)}"
        )
    if not path.parent.is_dir():
        raise RowFileError(f"{path}: expected a folder {path.parent}, found none")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        open_part = _csv if path.suffix == ".csv" else _parquet
        with open_part(part, rows, spec) as write:
            yield write
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _csv(path: Path, rows: RowFile, spec: DatasetSpec) -> Iterator[Write]:
    separators = {
        name: feature.separator
        for name, feature in spec.features.items()
        if isinstance(feature, MultivaluedFeature)
    }

    def cell(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return separators.get(name, "|").join(str(cell(name, v)) for v in value)
        if isinstance(value, bool):
            # What a flag is as a category; Python's own words would be other ones.
            return "true" if value else "false"
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*rows.columns, SCORE])

        def write(batch: Sequence[Mapping[str, Any]], scores: np.ndarray) -> None:
            for row, score in zip(batch, scores, strict=True):
                # As text, a float32 has the digits that tell it from its neighbours.
                cells = [cell(name, row[name]) for name in rows.columns]
                writer.writerow([*cells, str(score)])

        yield write


@contextlib.contextmanager
def _parquet(path: Path, rows: RowFile, spec: DatasetSpec) -> Iterator[Write]:
    pa = arrow()
    schema = rows.schema().append(pa.field(SCORE, pa.float32()))
    with pa.parquet.ParquetWriter(path, schema) as writer:

        def write(batch: Sequence[Mapping[str, Any]], scores: np.ndarray) -> None:
            scored = [
                {**row, SCORE: score}
                for row, score in zip(batch, scores.tolist(), strict=True)
            ]
            writer.write_table(pa.Table.from_pylist(scored, schema))

        yield write

"""Literal rows, and one run of TensorFlow Transform over them, shared by all tests."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from midpg_tf.spec import SPLITS, DatasetSpec, ExampleEncoder
from transform.ingest import ingest
from transform.run import write_transformed
from transform.runner import IN_PROCESS
from transform.sources import check_files
from transform.summary import Summary, read_summary, write_summary

E = math.e

SPEC = DatasetSpec.model_validate(
    {
        "name": "shop",
        "data": {"format": "csv", "path": "unused.csv"},
        "label": {"name": "bought"},
        "weight": "importance",
        "scenario": ["city"],
        "features": {
            "city": {"kind": "categorical", "min_count": 2, "oov_buckets": 2},
            # Names that TensorFlow Transform takes for one, or doesn't take.
            "item id": {"kind": "categorical"},
            "item-id": {"kind": "categorical"},
            "größe": {"kind": "categorical"},
            "tags": {"kind": "multivalued", "min_count": 2},
            "age": {"kind": "numeric"},
            "price": {"kind": "numeric", "transform": "log"},
            "rank": {"kind": "numeric", "transform": "bucketize", "buckets": 2},
            "flat": {"kind": "numeric"},
            "flat_rank": {"kind": "numeric", "transform": "bucketize"},
        },
    }
)

COLUMNS = (
    "city",
    "item id",
    "item-id",
    "größe",
    "tags",
    "age",
    "price",
    "rank",
    "flat",
    "flat_rank",
    "bought",
    "importance",
)
ROWS = [
    dict(zip(COLUMNS, row, strict=True))
    for row in (
        ("a", "7", "v", "ß", "x|y", 1, -5, 1, 0.1, 3, 0, 1),
        ("a", "7", "v", "ß", "x", 2, 0, 2, 0.1, 3, 1, 2),
        ("a", "7", "v", "ß", "", 3, E - 1, 3, 0.1, 3, 0, 1),
        ("b", "8", "w", "ß", "x|y|z", 4, E - 1, 4, 0.1, 3, 1, 0.5),
        ("b", "8", "w", "ß", "y|x", 5, E**2 - 1, 5, 0.1, 3, 0, 1),
        ("c", "07", "w", "ß", "x", 9, E**2 - 1, 6, 0.1, 3, 1, 1),
    )
]


@dataclasses.dataclass(frozen=True)
class Transformed:
    """What the run wrote: the transform graph, and the examples in several files."""

    spec: DatasetSpec
    rows: list[dict[str, Any]]
    output: tft.TFTransformOutput
    files: str


@pytest.fixture(scope="session")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    folder = tmp_path_factory.mktemp("transformed")
    encoder = ExampleEncoder(SPEC)
    examples = [encoder.encode(r, with_label=True).SerializeToString() for r in ROWS]
    with beam.Pipeline(runner=IN_PROCESS) as pipeline:
        write_transformed({"train": pipeline | beam.Create(examples)}, SPEC, folder)
    return Transformed(
        SPEC,
        ROWS,
        tft.TFTransformOutput(str(folder / "graph")),
        str(folder / "train" / "*.gz"),
    )


@pytest.fixture
def make_spec(tmp_path: Path):
    """Makes descriptions of small data sets that lie in `tmp_path`."""

    def make(format_: str = "csv", path: str | None = None, **data: Any) -> DatasetSpec:
        file = path if path is not None else f"rows.{format_}"
        return DatasetSpec.model_validate(
            {
                "name": "clicks",
                "data": {"format": format_, "path": str(tmp_path / file), **data},
                "label": {
                    "name": "clicked",
                    "from": {"column": "rating", "greater_than": 3},
                },
                "scenario": ["age_group", "gender"],
                "features": {
                    "age_group": {"kind": "categorical"},
                    "gender": {"kind": "categorical"},
                    "genres": {"kind": "multivalued"},
                    "price": {"kind": "numeric", "default": 0},
                },
            }
        )

    return make


@pytest.fixture
def run_ingest(tmp_path: Path):
    """Ingests a data set: rows by split, decoded and sorted, and the summary."""

    def run(spec: DatasetSpec) -> tuple[dict[str, list[tf.train.Example]], Summary]:
        files = check_files(spec)
        with beam.Pipeline(runner=IN_PROCESS) as pipeline:
            ingested = ingest(pipeline, spec, files)
            for split, examples in ingested.splits.items():
                examples | split >> beam.io.WriteToTFRecord(str(tmp_path / split))
            ingested.summary | beam.Map(write_summary, str(tmp_path))
        splits = {
            split: sorted(
                record
                for file in tmp_path.glob(f"{split}-*")
                for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
            )
            for split in SPLITS
        }
        decoded = {
            split: [tf.train.Example.FromString(record) for record in records]
            for split, records in splits.items()
        }
        return decoded, read_summary(str(tmp_path))

    return run

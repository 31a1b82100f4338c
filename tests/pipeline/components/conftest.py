"""Artifacts on disk, and components' functions run on them without a metadata store."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import (
    generate_statistics_in_memory,
)
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from midpg_tf.spec import SPLITS, DatasetSpec, ExampleEncoder
from pipeline.components.data_gate import NOTES_KEY, DataGate
from pipeline.components.schema_gen import (
    SCHEMA_FILE,
    STATISTICS_FILE,
    STATISTICS_OPTIONS,
    DatasetSchemaGen,
)

Row = Mapping[str, Any]


def run_function(component: Any, **arguments: Any) -> None:
    """Runs the function that a `@component` was made of, as its executor does."""
    component.EXECUTOR_SPEC.executor_class._FUNCTION(**arguments)


@pytest.fixture(name="run_function")
def run_function_fixture() -> Callable[..., None]:
    return run_function


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[..., Any]:
    """Makes an artifact, by default in a new folder."""
    made = iter(range(1, 1000))

    def make(type_name: str, uri: Path | None = None, splits: Iterable[str] = ()):
        found = getattr(standard_artifacts, type_name)()
        found.id = next(made)
        found.uri = str(uri or tmp_path / f"{type_name}-{found.id}")
        if splits:
            found.split_names = artifact_utils.encode_split_names(list(splits))
        return found

    return make


def example(spec: DatasetSpec, row: Row) -> bytes:
    """A row as ingestion writes it; features that are None are left out."""
    numbers = {"price", spec.label.name, spec.weight}
    full = {
        name: (0 if name in numbers else "") if value is None else value
        for name, value in row.items()
    }
    found = ExampleEncoder(spec).encode(full, with_label=True)
    for name, value in row.items():
        if value is None:
            del found.features.feature[name]
    return found.SerializeToString()


# Many tests begin with the same rows, and TFDV takes a while for them.
@functools.cache
def statistics_of(examples: tuple[bytes, ...]) -> bytes:
    batch = ExamplesToRecordBatchDecoder().DecodeBatch(list(examples))
    found = generate_statistics_in_memory(batch, STATISTICS_OPTIONS)
    return found.SerializeToString()


@pytest.fixture
def make_statistics(spec: DatasetSpec, artifact: Callable[..., Any]):
    """Makes the statistics of rows, the same in each split unless told otherwise."""

    def make(
        rows: list[Row],
        *,
        extra: str | None = None,
        described: DatasetSpec = spec,
        **splits: list[Row],
    ) -> standard_artifacts.ExampleStatistics:
        addition = tf.train.Example()
        if extra:
            addition.features.feature[extra].float_list.value.append(1.0)
        # Messages that follow each other are read as one.
        end = addition.SerializeToString()

        def statistics(rows: list[Row]) -> bytes:
            return statistics_of(tuple(example(described, row) + end for row in rows))

        found = artifact("ExampleStatistics", splits=SPLITS)
        common = statistics(rows)
        for split in SPLITS:
            folder = Path(found.uri) / f"Split-{split}"
            folder.mkdir(parents=True)
            own = statistics(splits[split]) if split in splits else common
            (folder / STATISTICS_FILE).write_bytes(own)
        return found

    return make


class Checks:
    """The two components that hold data to its schema, with their kept folder."""

    def __init__(self, spec: DatasetSpec, kept: Path, artifact: Callable[..., Any]):
        self.spec = spec
        self.kept = kept
        self.artifact = artifact
        self.anomalies: Path | None = None

    def schema(self, statistics: Any) -> Any:
        schema = self.artifact("Schema")
        run_function(
            DatasetSchemaGen,
            statistics=statistics,
            schema=schema,
            spec=self.spec.to_json(),
            kept=str(self.kept),
        )
        return schema

    def read_schema(self, statistics: Any) -> schema_pb2.Schema:
        return tfdv.load_schema_text(
            str(Path(self.schema(statistics).uri) / SCHEMA_FILE)
        )

    def gate(self, statistics: Any) -> list[str]:
        """Gives the notes of data that passes."""
        anomalies = self.artifact("ExampleAnomalies")
        self.anomalies = Path(anomalies.uri)
        run_function(
            DataGate,
            statistics=statistics,
            schema=self.schema(statistics),
            anomalies=anomalies,
            spec=self.spec.to_json(),
            kept=str(self.kept),
        )
        return json.loads(anomalies.get_string_custom_property(NOTES_KEY))


@pytest.fixture
def checks(spec: DatasetSpec, tmp_path: Path, artifact: Callable[..., Any]) -> Checks:
    return Checks(spec, tmp_path / "kept", artifact)

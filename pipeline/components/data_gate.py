"""The first gate: data that violates the schema, or has drifted, stops the run."""

# No `from __future__ import annotations`: TFX reads the annotations of components.

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import (
    anomalies_pb2,
    schema_pb2,
    statistics_pb2,
)
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema
from tfx.utils import io_utils, writer_utils

from midpg_tf.spec import SPLITS, DatasetSpec
from pipeline.components.schema_gen import (
    SCHEMA_FILE,
    STATISTICS_FILE,
    feature_names,
    keep,
    split_statistics,
)
from pipeline.value_counts import value_counts

log = logging.getLogger("midpg.data")

ANOMALIES_FILE = "SchemaDiff.pb"

LEAST_SHARE = 0.01
"""Least share of the first rows of a value that must not vanish."""

LEAST_ROWS = 10
"""Least rows that it would have now: of fewer, chance may leave none."""


class DataError(ValueError):
    """The data is not what the schema says; the message has a line an anomaly."""


@component
def DataGate(  # noqa: N802
    statistics: InputArtifact[ExampleStatistics],
    schema: InputArtifact[Schema],
    anomalies: OutputArtifact[ExampleAnomalies],
    spec: Parameter[str],
    kept: Parameter[str],
) -> None:
    """Validates every split against the schema, and the train split for drift.

    Drift has a bound; that a whole market is gone is an anomaly below it, too. Where
    the schema has the values of a scenario field, those that it lacks may go.

    The first data that passes is kept as what later data is held to. So is that of a
    feature that is added later; until then, nothing says what it would drift from.

    Args:
        statistics: Of the new data.
        schema: What it is held to.
        anomalies: What is found, a file a split.
        spec: The data-set description as JSON.
        kept: The folder of `DatasetSchemaGen`, with the statistics that drift is
            measured against; without them, there is none.

    Raises:
        DataError: If there is any anomaly.
    """
    expected = io_utils.SchemaReader().read(str(Path(schema.uri) / SCHEMA_FILE))
    file = Path(kept) / STATISTICS_FILE
    reference = tfdv.load_stats_text(str(file)) if file.exists() else None
    known = feature_names(reference) if reference else set()
    held = _without_drift(expected, known)
    new = [feature.name for feature in held.feature if feature.name not in known]
    if reference and new:
        log.info("new, and so not held to drift in this run: %s", ", ".join(new))
    anomalies.split_names = artifact_utils.encode_split_names(list(SPLITS))
    problems: list[str] = []
    for split in SPLITS:
        found = tfdv.validate_statistics(
            tfdv.load_stats_binary(split_statistics(statistics, split)),
            held,
            environment="TRAINING",
            previous_statistics=reference if split == "train" else None,
        )
        folder = Path(artifact_utils.get_split_uri([anomalies], split))
        folder.mkdir(parents=True, exist_ok=True)
        writer_utils.write_anomalies(str(folder / ANOMALIES_FILE), found)
        problems.extend(f"split {split!r}, {line}" for line in describe(found))
    if reference:
        train = tfdv.load_stats_binary(split_statistics(statistics, "train"))
        problems.extend(
            f"split 'train', {line}"
            for field in DatasetSpec.from_json(spec).scenario
            for line in _vanished(field, reference, train, expected)
        )
    if problems:
        anew = f", or delete {kept} and run with --no-cache to infer it anew"
        problems.append(
            "no model was trained; correct the data, or if it is right, the schema:"
            f" name a corrected copy of {Path(schema.uri) / SCHEMA_FILE} as"
            f" data.schema_file (for drift, data.drift, or the bounds in that file)"
            f"{anew if reference else ''}"
        )
        raise DataError("\n".join(problems))
    keep(Path(kept), expected, split_statistics(statistics, "train"))
    log.info("no anomalies in %s", ", ".join(SPLITS))


def _without_drift(
    schema: schema_pb2.Schema, known: Collection[str]
) -> schema_pb2.Schema:
    """The schema without bounds on drift of features that aren't known."""
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    for feature in result.feature:
        if feature.name not in known:
            feature.ClearField("drift_comparator")
    return result


def _vanished(
    field: str,
    reference: statistics_pb2.DatasetFeatureStatisticsList,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
) -> Iterator[str]:
    """A line for each value that many of the first rows had, and no row has now."""
    before, after = (
        value_counts(found.datasets[0]).get(field) for found in (reference, statistics)
    )
    if before is None or after is None or not (before.complete and after.complete):
        return
    known = _domain(field, schema)
    # Not the reference's number of rows: the field may have been added later.
    total = before.counts.total()
    for value, rows in before.counts.items():
        share = rows / total
        if (
            value not in after.counts
            and share >= LEAST_SHARE
            and share * statistics.datasets[0].num_examples >= LEAST_ROWS
            and (known is None or value in known)
        ):
            yield (
                f"feature {field!r}: expected rows with {value!r}"
                f" ({share * 100:.3g} % of the first data), found none"
            )


def _domain(field: str, schema: schema_pb2.Schema) -> set[str] | None:
    try:
        return set(tfdv.get_domain(schema, field).value)
    except ValueError:
        return None


def describe(anomalies: anomalies_pb2.Anomalies) -> Iterator[str]:
    """A line for each anomaly: the feature and what is off with it."""
    for name, anomaly in sorted(anomalies.anomaly_info.items()):
        for reason in anomaly.reason:
            yield f"feature {name!r}: {_text(reason)}"
    for reason in anomalies.dataset_anomaly_info.reason:
        yield _text(reason)


def _text(reason: anomalies_pb2.AnomalyInfo.Reason) -> str:
    return f"{reason.short_description}: {reason.description.strip()}"

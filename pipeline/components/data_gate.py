"""The first gate: data that violates the schema, or has drifted, stops the run."""

# No `from __future__ import annotations`: TFX reads the annotations of components.

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
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
from pipeline.components.data_checks import (
    describe,
    rewritten,
    unknown,
    vanished,
    with_sampling_tolerance,
    without_drift,
)
from pipeline.components.schema_gen import (
    SCHEMA_FILE,
    feature_names,
    keep,
    kept_schema,
    kept_statistics,
    kinds,
    newest_statistics,
    other_kinds,
    split_statistics,
)

log = logging.getLogger("midpg.data")

ANOMALIES_FILE = "SchemaDiff.pb"
NOTES_KEY = "notes"

_Anomaly = anomalies_pb2.AnomalyInfo

_DRIFT = (
    _Anomaly.COMPARATOR_L_INFTY_HIGH,
    _Anomaly.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
)


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

    A value of a scenario field that vanishes is an anomaly however small the drift is.
    Values are those of the first data and of the last data that passed, so that a
    market which was added later counts, too. Where a curated schema lists the values of
    such a field, just these must stay.

    The first data that passes is kept as what later data is held to. So is that of a
    feature that is added later, or is of another kind from now on; until then, nothing
    says what it would drift from.

    Eval and test rows are compared with the train rows in the same way, and for values
    that those lack. By time they are the newest ones, in which a broken export shows
    first, but also a new country: what differs is noted, and stops no run. So is a
    feature of the train rows that has hardly any of the first data's values, or has
    whole numbers as `7.0` that were `7`.

    Args:
        statistics: Of the new data.
        schema: What it is held to.
        anomalies: What is found, a file a split, and the notes as JSON.
        spec: The data-set description as JSON.
        kept: The folder of `DatasetSchemaGen`, with the statistics that drift is
            measured against; without them, there is none.

    Raises:
        DataError: If there is any anomaly that isn't only noted.
    """
    description = DatasetSpec.from_json(spec)
    schema_file = Path(schema.uri) / SCHEMA_FILE
    expected = io_utils.SchemaReader().read(str(schema_file))
    first_schema = kept_schema(Path(kept))
    others = other_kinds(first_schema, description) if first_schema else {}
    reference = kept_statistics(Path(kept), others.keys()) if first_schema else None
    newest = newest_statistics(Path(kept)) if reference else None
    # That which is inferred lists the first data's values, not those of later ones.
    listed = expected if description.data.schema_file else schema_pb2.Schema()
    known = feature_names(reference) if reference else set()
    if reference:
        _tell_new(expected, known | others.keys())
    splits = {
        split: tfdv.load_stats_binary(split_statistics(statistics, split))
        for split in SPLITS
    }
    train = splits["train"]
    anomalies.split_names = artifact_utils.encode_split_names(list(SPLITS))
    problems: list[str] = []
    notes = list(_told_kinds(others, description))
    for split, now in splits.items():
        if split == "train":
            before, origin = reference, "the first data"
            held = without_drift(expected, known)
        else:
            before, origin = train, "the train split"
            held = with_sampling_tolerance(expected, train, now)
        found = tfdv.validate_statistics(
            now, held, environment="TRAINING", previous_statistics=before
        )
        _write(found, artifact_utils.get_split_uri([anomalies], split))
        noted = () if split == "train" else _noted_of_later_rows(description)
        errors, oddities = describe(found, noted)
        if before:
            gone = errors if split == "train" else oddities
            for field in description.scenario:
                lost = dict(vanished(field, before, now, expected, origin))
                if split == "train" and newest:
                    last = "the last data that passed"
                    lost = dict(vanished(field, newest, now, listed, last)) | lost
                gone.extend(lost.values())
            oddities.extend(unknown(before, now, origin))
            oddities.extend(rewritten(before, now, origin))
        problems.extend(f"split {split!r}, {line}" for line in errors)
        notes.extend(f"split {split!r} against {origin}, {line}" for line in oddities)
    anomalies.set_string_custom_property(NOTES_KEY, json.dumps(notes))
    for note in notes:
        log.warning("%s", note)
    if problems:
        problems.append(_advice(schema_file, kept if reference else None))
        raise DataError("\n".join(problems))
    train_file = split_statistics(statistics, "train")
    keep(Path(kept), expected, train_file, description.scenario)
    if not notes:
        log.info("no anomalies in %s", ", ".join(SPLITS))


def _tell_new(schema: schema_pb2.Schema, earlier: Collection[str]) -> None:
    """Logs which features the first data didn't have."""
    names = [feature.name for feature in schema.feature if feature.name not in earlier]
    if names:
        log.info("new, and so not held to drift in this run: %s", ", ".join(names))


def _told_kinds(others: Mapping[str, str], spec: DatasetSpec) -> Iterator[str]:
    """A note for each feature that the first data had as another kind."""
    now = kinds(spec)
    for name, kind in others.items():
        yield (
            f"feature {name!r}: {kind} in the first data, {now[name]} now; held to"
            " drift from the next run on"
        )


def _noted_of_later_rows(spec: DatasetSpec) -> Collection[int]:
    """The types of anomalies that stop no run where eval or test rows have them."""
    if spec.data.schema_file:
        return _DRIFT
    # An inferred domain has what train rows had; a person's has all that may be.
    return (*_DRIFT, _Anomaly.ENUM_TYPE_UNEXPECTED_STRING_VALUES)


def _write(found: anomalies_pb2.Anomalies, folder: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    writer_utils.write_anomalies(str(Path(folder) / ANOMALIES_FILE), found)


def _advice(schema_file: Path, kept: str | None) -> str:
    """What to do about data that doesn't pass; `kept` if there is a first data's."""
    anew = f", or delete {kept} and run with --no-cache to infer it anew"
    return (
        "no model was trained; correct the data, or if it is right, the schema: name a"
        f" corrected copy of {schema_file} as data.schema_file (for drift, data.drift,"
        f" or the bounds in that file){anew if kept else ''}"
    )

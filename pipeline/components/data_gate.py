"""The first gate: data that violates the schema, or has drifted, stops the run."""

# No `from __future__ import annotations`: TFX reads the annotations of components.

import json
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
from pipeline.chance import chance
from pipeline.components.schema_gen import (
    QUANTILES,
    SCHEMA_FILE,
    feature_names,
    keep,
    kept_schema,
    kept_statistics,
    kinds,
    other_kinds,
    split_statistics,
)
from pipeline.value_counts import value_counts

log = logging.getLogger("midpg.data")

ANOMALIES_FILE = "SchemaDiff.pb"
NOTES_KEY = "notes"

LEAST_SHARE = 0.01
"""Least share of the earlier rows of a value that must not vanish."""

LEAST_ROWS = 10
"""Least rows that there would be: where fewer are expected, chance may leave none."""

LEAST_KNOWN = 0.05
"""Least share of its known values a row that a feature must keep: many customers are
new in any shop, as are those of seven eighths of MovieLens-100K's newest ratings."""

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

    Drift has a bound; that a whole market is gone is an anomaly below it, too. Where
    the schema has the values of a scenario field, those that it lacks may go.

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
    expected = io_utils.SchemaReader().read(str(Path(schema.uri) / SCHEMA_FILE))
    first_schema = kept_schema(Path(kept))
    others = other_kinds(first_schema, description) if first_schema else {}
    reference = kept_statistics(Path(kept), others.keys()) if first_schema else None
    known = feature_names(reference) if reference else set()
    new = [
        feature.name
        for feature in expected.feature
        if feature.name not in known | others.keys()
    ]
    if reference and new:
        log.info("new, and so not held to drift in this run: %s", ", ".join(new))
    noted = set(_DRIFT)
    if not description.data.schema_file:
        # An inferred domain has what train rows had; a person's has all that may be.
        noted.add(_Anomaly.ENUM_TYPE_UNEXPECTED_STRING_VALUES)
    anomalies.split_names = artifact_utils.encode_split_names(list(SPLITS))
    splits = {
        split: tfdv.load_stats_binary(split_statistics(statistics, split))
        for split in SPLITS
    }
    train = splits["train"]
    problems: list[str] = []
    now_kinds = kinds(description)
    notes = [
        f"feature {name!r}: {kind} in the first data, {now_kinds[name]} now; held to"
        " drift from the next run on"
        for name, kind in others.items()
    ]
    for split, now in splits.items():
        first = split == "train"
        if first:
            before, origin = reference, "the first data"
            held = _without_drift(expected, known)
        else:
            before, origin = train, "the train split"
            held = _with_chance(expected, train, now)
        found = tfdv.validate_statistics(
            now, held, environment="TRAINING", previous_statistics=before
        )
        folder = Path(artifact_utils.get_split_uri([anomalies], split))
        folder.mkdir(parents=True, exist_ok=True)
        writer_utils.write_anomalies(str(folder / ANOMALIES_FILE), found)
        wrong, odd = describe(found, () if first else noted)
        for field in description.scenario if before else ():
            gone = _vanished(field, before, now, expected, origin)
            (wrong if first else odd).extend(gone)
        if before:
            odd.extend(_unknown(before, now, origin))
            odd.extend(_rewritten(before, now, origin))
        problems.extend(f"split {split!r}, {line}" for line in wrong)
        notes.extend(f"split {split!r} against {origin}, {line}" for line in odd)
    anomalies.set_string_custom_property(NOTES_KEY, json.dumps(notes))
    for note in notes:
        log.warning("%s", note)
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
    if not notes:
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


def _with_chance(
    schema: schema_pb2.Schema,
    train: statistics_pb2.DatasetFeatureStatisticsList,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
) -> schema_pb2.Schema:
    """The schema with bounds on drift that allow for what chance can do to few rows."""
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    train_rows, rows = (found.datasets[0].num_examples for found in (train, statistics))
    for feature in result.feature:
        drift = feature.drift_comparator
        for numeric, bound in (
            (False, drift.infinity_norm),
            (True, drift.jensen_shannon_divergence),
        ):
            if bound.HasField("threshold"):
                by_chance = chance(numeric, train_rows, rows, QUANTILES)
                bound.threshold = min(1.0, bound.threshold + by_chance)
    return result


def _vanished(
    field: str,
    reference: statistics_pb2.DatasetFeatureStatisticsList,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    origin: str,
) -> Iterator[str]:
    """A line for each value that many rows had before, and no row has now."""
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
                f" ({share * 100:.3g} % of {origin}), found none"
            )


def _unknown(
    reference: statistics_pb2.DatasetFeatureStatisticsList,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    origin: str,
) -> Iterator[str]:
    """A line for each feature that has hardly any of the values that it had before.

    None for a feature of which the statistics don't have all values.
    """
    before, after = (found.datasets[0] for found in (reference, statistics))
    rows, counted = after.num_examples, value_counts(after)
    for name, values in value_counts(before).items():
        real = values.counts.keys() - {""}
        usual = sum(values.counts[value] for value in real) / values.rows
        least = LEAST_KNOWN * usual * rows
        if not values.complete or least < LEAST_ROWS or name not in counted:
            continue
        known = sum(counted[name].counts[value] for value in real)
        if known < least:
            yield (
                f"feature {name!r}: expected {usual:.3g} values a row that {origin}"
                f" had, too, found {known / rows:.3g}; the others are new or empty"
            )


def _rewritten(
    reference: statistics_pb2.DatasetFeatureStatisticsList,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    origin: str,
) -> Iterator[str]:
    """A line for each feature with whole numbers that were written in another way.

    However few they are: they may be taken for new customers.
    """
    before, after = (
        value_counts(found.datasets[0]) for found in (reference, statistics)
    )
    for name in [name for name in before if name in after]:
        usual = before[name].counts
        found = {
            value: count
            for value, count in after[name].counts.items()
            if value not in usual and _other_way(value) in usual
        }
        if sum(found.values()) >= LEAST_ROWS:
            value = next(iter(found))
            yield (
                f"feature {name!r}: expected whole numbers as {origin} has them, such"
                f" as {_other_way(value)!r}, found {sum(found.values()):,} in another"
                f" way, such as {value!r}, which is another value; write them alike"
            )


def _other_way(value: str) -> str | None:
    """The whole number as pandas writes it with a missing one, or without; or None."""
    number = value.removesuffix(".0")
    if not number.isdigit():
        return None
    return number if value != number else f"{number}.0"


def _domain(field: str, schema: schema_pb2.Schema) -> set[str] | None:
    """The values that the schema lists; None if it doesn't, as for whole numbers."""
    try:
        domain = tfdv.get_domain(schema, field)
    except ValueError:
        return None
    return set(domain.value) if isinstance(domain, schema_pb2.StringDomain) else None


def describe(
    anomalies: anomalies_pb2.Anomalies, noted: Collection[int]
) -> tuple[list[str], list[str]]:
    """A line for each anomaly: the feature and what is off with it.

    Args:
        anomalies: What TFDV found.
        noted: Types of reasons that go into the second list.
    """
    problems: list[str] = []
    notes: list[str] = []
    for name, anomaly in sorted(anomalies.anomaly_info.items()):
        for reason in anomaly.reason:
            lines = notes if reason.type in noted else problems
            lines.append(f"feature {name!r}: {_text(reason)}")
    problems.extend(map(_text, anomalies.dataset_anomaly_info.reason))
    return problems, notes


def _text(reason: anomalies_pb2.AnomalyInfo.Reason) -> str:
    return f"{reason.short_description}: {reason.description.strip()}"

"""What is odd in new data, against earlier data or the schema, and what may drift."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import (
    anomalies_pb2,
    schema_pb2,
    statistics_pb2,
)

from pipeline.chance import chance
from pipeline.components.schema_gen import QUANTILES
from pipeline.value_counts import value_counts

LEAST_SHARE = 0.01
"""Least share of the earlier rows of a value that must not vanish."""

LEAST_ROWS = 10
"""Least rows that there would be: where fewer are expected, chance may leave none."""

LEAST_KNOWN = 0.05
"""Least share of its known values a row that a feature must keep: many customers are
new in any shop, as are those of seven eighths of MovieLens-100K's newest ratings."""


def without_drift(
    schema: schema_pb2.Schema, known: Collection[str]
) -> schema_pb2.Schema:
    """The schema without bounds on drift of features that aren't known."""
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    for feature in result.feature:
        if feature.name not in known:
            feature.ClearField("drift_comparator")
    return result


def with_sampling_tolerance(
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


def vanished(
    field: str,
    reference: statistics_pb2.DatasetFeatureStatisticsList,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    origin: str,
) -> Iterator[tuple[str, str]]:
    """Each value that many rows had before and no row has now, and a line on it.

    Where the schema lists a field's values, others are left out.
    """
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
            line = (
                f"feature {field!r}: expected rows with {value!r}"
                f" ({share * 100:.3g} % of {origin}), found none"
            )
            yield value, line


def unknown(
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


def rewritten(
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
    # TFDV ends with the value that moved most, which may be the empty one.
    description = reason.description.strip()
    value = " (empty)" if description.endswith(" is:") else ""
    return f"{reason.short_description}: {description}{value}"

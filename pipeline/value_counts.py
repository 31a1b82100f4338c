"""How often each value occurs, as TFDV's statistics have it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tensorflow_metadata.proto.v0 import statistics_pb2


class ValueCounts(NamedTuple):
    """The values of a feature.

    Attributes:
        counts: How often each value occurs; none of a number.
        complete: Whether these are all values. TFDV lists the most frequent ones, as
            many as its options say.
        rows: Number of rows, those without a value included. Of a feature that was
            added later, it isn't that of the data set.
    """

    counts: Counter[str]
    complete: bool
    rows: int


def value_counts(
    dataset: statistics_pb2.DatasetFeatureStatistics,
) -> dict[str, ValueCounts]:
    """Reads the values of each feature.

    Args:
        dataset: TFDV's statistics.
    """
    found = {}
    for feature in dataset.features:
        common = getattr(feature, feature.WhichOneof("stats")).common_stats
        listed = feature.string_stats.rank_histogram.buckets
        found[feature.path.step[0]] = ValueCounts(
            Counter({bucket.label: round(bucket.sample_count) for bucket in listed}),
            feature.string_stats.unique == len(listed),
            common.num_non_missing + common.num_missing,
        )
    return found

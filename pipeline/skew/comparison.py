"""Which features drifted between training and production, in which scenario."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

import tensorflow_data_validation as tfdv
from pydantic import Field, computed_field
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from midpg_tf.spec import OVERALL, DatasetSpec, Drift, NumericFeature
from pipeline.chance import chance
from pipeline.records import Record
from pipeline.skew.statistics import NO_VALUE, Statistics
from pipeline.value_counts import ValueCounts, value_counts

MOST_NEW = 0.5
"""Share of the values that aren't usually new in a scenario, which may be new."""


class Comparison(Record):
    """A feature in production against the same in training.

    Attributes:
        scenario: The scenario, or `overall`.
        feature: The feature.
        rows: Number of rows in production.
        distance: L-infinity of the values' shares, from 0 to 1, for a categorical or
            multivalued feature; for a numeric one the Jensen-Shannon divergence, in
            bits, from 0 to 1, of the shares of the training data's deciles.
        bound: The largest distance that counts as the same: what is allowed, and what
            chance alone can do with such requests.
        moved: The value, or bin, whose share moved most.
        share_in_training: Its share there.
        share_in_production: Its share there.
        new: Share of the values in production that training never saw, in any scenario;
            of numbers, those below or above all of training's. None if training has
            more values than are counted.
        new_bound: The largest share of new values that counts as the same: what is
            usual in the scenario, `MOST_NEW` of the rest, and what chance alone can do.
    """

    scenario: str
    feature: str
    rows: int
    distance: float
    bound: float
    moved: str
    share_in_training: float
    share_in_production: float
    new: float | None
    new_bound: float

    @computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation has it
    @property
    def drifted(self) -> bool:
        """Whether the distance, or the share of new values, is beyond its bound.

        Values of another scheme, such as ids with a prefix, may all be new and yet be
        so rare each that no share moves by much.
        """
        return self.badness > 1

    @property
    def badness(self) -> float:
        """What is found over what is allowed, for what is worse."""
        return max(self.distance / self.bound, (self.new or 0.0) / self.new_bound)

    def __str__(self) -> str:
        where = self.scenario
        if where != OVERALL:
            where = f"scenario {where}"
        what = f"the distance is {self.distance:.3f}, expected at most {self.bound:.3f}"
        if self.new is not None and self.new > self.new_bound:
            most = f"expected at most {self.new_bound:.1%}"
            what += f"; {self.new:.1%} of the values are new, {most}"
        return (
            f"{where}, feature {self.feature}: {what}; {self.moved} went from"
            f" {self.share_in_training:.1%} to {self.share_in_production:.1%}"
        )


class SkewReport(Record):
    """All comparisons.

    Attributes:
        comparisons: The worst first: those farthest beyond their bounds.
        rows: Rows in production.
        version: The version that answered them; None if it isn't known.
        notes: What a reader should know, such as scenarios that weren't compared.
    """

    comparisons: list[Comparison]
    rows: int
    version: int | None = None
    notes: list[str] = Field(default_factory=list)

    @property
    def drifted(self) -> list[Comparison]:
        """Those beyond their bounds."""
        return [one for one in self.comparisons if one.drifted]


def compare(
    spec: DatasetSpec,
    training: Statistics,
    held_out: Statistics,
    production: Statistics,
    requests: Mapping[str, float],
    *,
    bounds: Drift,
    min_requests: int,
) -> SkewReport:
    """Compares production with training, overall and in each scenario.

    Args:
        spec: The data-set description.
        training: Statistics of the train split.
        held_out: Those of the test split, whose values that the train split lacks are
            as new as is usual.
        production: Statistics of the requests.
        requests: Effective number of requests with rows of each scenario, and overall.
            What chance can do depends on these: the rows of one are alike in what is
            not the candidates', such as the customer.
        bounds: The distances that are allowed, apart from chance.
        min_requests: Effective number that a scenario needs to be compared.
    """
    comparisons: list[Comparison] = []
    few: list[str] = []
    known = value_counts(training[OVERALL])
    notes = [
        f"feature {name}: training has more values than the {len(found.counts):,} that"
        " are counted, so none can be told to be new"
        for name, found in known.items()
        if not found.complete
    ]
    added = [name for name, found in known.items() if not _has_values(found)]
    if added:
        notes.append(f"not compared, since training had none of it: {', '.join(added)}")
    for scenario, sent in sorted(production.items()):
        if requests[scenario] < min_requests:
            few.append(f"{scenario} ({math.floor(requests[scenario]):,})")
        elif scenario not in training:
            notes.append(
                f"scenario {scenario}: {sent.num_examples:,} rows in production, none"
                " in training"
            )
        else:
            comparisons.extend(
                _compare(
                    spec,
                    scenario,
                    training[scenario],
                    held_out.get(scenario),
                    sent,
                    known,
                    requests[scenario],
                    bounds,
                )
            )
    if few:
        notes.append(
            f"not compared, with fewer than {min_requests:,} requests (effective"
            f" number): {', '.join(few)}"
        )
    comparisons.sort(key=lambda one: one.badness, reverse=True)
    return SkewReport(
        comparisons=comparisons,
        rows=production[OVERALL].num_examples,
        notes=notes,
    )


def _compare(
    spec: DatasetSpec,
    scenario: str,
    training: statistics_pb2.DatasetFeatureStatistics,
    held_out: statistics_pb2.DatasetFeatureStatistics | None,
    sent: statistics_pb2.DatasetFeatureStatistics,
    known: Mapping[str, ValueCounts],
    requests: float,
    bounds: Drift,
) -> Iterator[Comparison]:
    distances = _distances(spec, training, sent)
    there, here = value_counts(training), value_counts(sent)
    later = value_counts(held_out) if held_out else {}
    for name, distance in distances.items():
        if scenario != OVERALL and name in spec.scenario:
            continue  # it has one value there
        if not _has_values(known[name]):
            continue
        numeric = isinstance(spec.features[name], NumericFeature)
        before, now = _shares(there[name].counts), _shares(here[name].counts)
        values = sorted(before.keys() | now.keys())
        moved = max(values, key=lambda v: abs(before.get(v, 0) - now.get(v, 0)))
        allowed = bounds.numeric if numeric else bounds.categorical
        sizes = training.num_examples, requests
        usual = _usually_new(there[name].counts, known[name].counts)
        if name in later and later[name].counts:
            usual = max(usual, _new(later[name].counts, known[name]) or 0.0)
        yield Comparison(
            scenario=scenario,
            feature=name,
            rows=sent.num_examples,
            distance=distance,
            bound=min(1.0, allowed + chance(numeric, *sizes, len(values))),
            moved=moved,
            share_in_training=before.get(moved, 0.0),
            share_in_production=now.get(moved, 0.0),
            new=_new(here[name].counts, known[name]),
            new_bound=min(
                1.0,
                usual + MOST_NEW * (1 - usual) + chance(False, *sizes, len(values)),
            ),
        )


def _distances(
    spec: DatasetSpec,
    training: statistics_pb2.DatasetFeatureStatistics,
    sent: statistics_pb2.DatasetFeatureStatistics,
) -> dict[str, float]:
    """TFDV's distance of each feature."""
    schema = schema_pb2.Schema()
    for name, feature in spec.features.items():
        comparator = schema.feature.add(
            name=name, type=schema_pb2.BYTES
        ).skew_comparator
        # Bounds are looked at elsewhere; without any, nothing is measured.
        if isinstance(feature, NumericFeature):
            comparator.jensen_shannon_divergence.threshold = 1.0
        else:
            comparator.infinity_norm.threshold = 1.0
    of = statistics_pb2.DatasetFeatureStatisticsList
    anomalies = tfdv.validate_statistics(
        of(datasets=[training]), schema, serving_statistics=of(datasets=[sent])
    )
    return {
        info.path.step[0]: measurement.value
        for info in anomalies.drift_skew_info
        for measurement in info.skew_measurements
    }


def _has_values(found: ValueCounts) -> bool:
    return not found.counts.keys() <= {NO_VALUE.decode()}


def _new(sent: Counter[str], known: ValueCounts) -> float | None:
    if not known.complete:
        return None
    return sum(n for v, n in sent.items() if v not in known.counts) / sent.total()


def _usually_new(counts: Counter[str], known: Counter[str]) -> float:
    """The share of the values of further rows like these that training wouldn't know.

    Of first-time customers, each one is new. It is too little where rows with the same
    value come together, as those of a visit do.

    Args:
        counts: The values of the scenario in training.
        known: Those of all of training.

    References:
        Good, "The Population Frequencies of Species and the Estimation of Population
        Parameters", Biometrika 40, 1953: as large as the share of those seen once.
    """
    once = sum(n for value, n in counts.items() if known[value] == 1)
    return once / max(1, counts.total())


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = counts.total()
    return {value: count / total for value, count in counts.items()}

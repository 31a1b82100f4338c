"""The gates: what a candidate must hold, overall and in each scenario."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from pydantic import Field
from scipy import stats

from midpg_tf.spec import OVERALL, Gates
from pipeline.evaluation.bootstrap import (
    Interval,
    Verdict,
    intervals,
    verdict,
    widening,
)
from pipeline.evaluation.figures import (
    WeightedFigure,
    auc,
    calibration,
    log_loss,
    remembering,
)
from pipeline.evaluation.progress import Progress
from pipeline.evaluation.rows import SplitRows
from pipeline.records import Record

CANDIDATE, BASELINE, PRODUCTION = "candidate", "baseline", "production"

CALIBRATION = "calibration.max_error"
"""The gate whose refusals may be due to the rows: `Refusal.gate`."""

_FIGURES = {"auc": auc, "log_loss": log_loss, "calibration": calibration}
"""By field of `ModelFigures`."""

_LEAST = 2
"""Effective number of rows, or clusters, of a class: one says nothing of its spread."""

_HARDLY_ANY = 0.1
"""Share of the rows of a class that are expected, below which its labels were lost."""


class ModelFigures(Record):
    """One model on the rows of a slice."""

    auc: Interval
    log_loss: Interval
    calibration: Interval


class Slice(Record):
    """All models on the rows of a slice.

    Attributes:
        name: The scenario, or `overall`.
        rows: Number of test rows.
        positives: How many of them have the label 1.
        judged: Whether the slice has the rows that its gates need.
        models: Figures by model: candidate, baseline, and production if there is one.
        gains: The candidate's AUC less that of each other model, paired.
        increases: By how much the candidate's log loss is above that of each other
            model, as a share of it, paired.
    """

    name: str
    rows: int
    positives: int
    judged: bool
    models: dict[str, ModelFigures]
    gains: dict[str, Interval]
    increases: dict[str, Interval]

    def verdict(self, reference: str) -> Verdict:
        """Whether the interval of the gain over another model leaves out zero."""
        return verdict(self.gains[reference], enough=self.judged)


class Refusal(Record):
    """Why a candidate isn't pushed: a figure whose whole interval is beyond its bound.

    Attributes:
        gate: Key of the bound in the data-set file, below `gates`.
        slice: The scenario, or `overall`.
        figure: What was measured.
        found: The measure, with the interval that is beyond the bound.
        bound: In words, with the number.
        comparisons: Number of slices whose intervals have the confidence together.
        production: The same figure of the model in production, where it was compared
            and has a bearing: what both are off by, the rows may have brought about.
    """

    gate: str
    slice: str
    figure: str
    found: Interval
    bound: str
    comparisons: int = 1
    production: Interval | None = None

    def __str__(self) -> str:
        where = self.slice if self.slice == OVERALL else f"scenario {self.slice}"
        many = self.comparisons > 1
        wide = f" widened for {self.comparisons} scenarios" if many else ""
        theirs = f"; production's is {self.production}" if self.production else ""
        return (
            f"gate {self.gate}, {where}: {self.figure} is {self.found}{wide},"
            f" expected {self.bound}{theirs}"
        )


class GateReport(Record):
    """The outcome of all gates.

    Attributes:
        slices: All rows first, then the scenarios by name.
        refusals: Empty if the candidate is blessed.
        notes: What a reader should know, such as a comparison that wasn't possible.
    """

    slices: list[Slice]
    refusals: list[Refusal]
    notes: list[str] = Field(default_factory=list)

    @property
    def blessed(self) -> bool:
        """Whether the candidate may be pushed."""
        return not self.refusals


def judge(
    gates: Gates,
    rows: SplitRows,
    scores: Mapping[str, np.ndarray],
    *,
    seed: int,
    what: str = "test split (data.split)",
    names: Mapping[str, str] | None = None,
) -> GateReport:
    """Measures all models on the same rows and applies the gates.

    A gate refuses only where the whole interval lies beyond its bound, so that a
    coin toss doesn't decide. Of many scenarios, some intervals lie beyond by chance:
    those that refuse one are widened until those of a figure in all judged scenarios
    have the confidence together. A scenario with `min_rows` in which a class has no
    rows, or less than a tenth of those that a model's scores say, is refused if these
    are at least `min_conversions`. The slices keep the plain intervals, which may tell
    of a loss that isn't refused. All rows together are judged however few they are.
    Their intervals, and those that refuse a scenario, are wider by Student's quantile
    for the effective number of rows, or clusters, of the class that has fewer.

    Args:
        gates: The bounds.
        rows: The rows to judge on.
        scores: For `candidate`, `baseline` and maybe `production`: `(rows,)`.
        seed: Of the bootstrap.
        what: What the rows are, for a message.
        names: What to call models in a refusal. Default: as `scores` does.

    Raises:
        ValueError: If a class has an effective number of less than two rows, or
            clusters, so that no gate can judge.
    """
    members = {OVERALL: np.arange(len(rows.labels)), **rows.by_scenario()}
    slices, observations = [], {}
    refusals: list[Refusal] = []
    ratio = _weight_ratio(rows)
    progress = Progress("slices measured", len(members))
    for name, numbers in members.items():
        own = {model: values[numbers] for model, values in scores.items()}
        part = rows.where(numbers)
        effective = effective_numbers(part)
        observations[name] = fewest_observations(effective)
        if name == OVERALL:
            _check(gates, part, effective, what)
        slices.append(_measure(gates, name, part, effective, own, seed))
        progress.add()
        if name != OVERALL:
            refusals += _lost_labels(
                gates, name, part, own, ratio, names or {}, len(members) - 1
            )
    scenarios = sum(one.judged for one in slices if one.name != OVERALL)
    for one in slices:
        if one.name == OVERALL:
            refusals += _refusals(gates, one, comparisons=1, factor=1.0)
        elif one.judged:
            factor = widening(gates.confidence, observations[one.name], scenarios)
            refusals += _refusals(gates, one, comparisons=scenarios, factor=factor)
    return GateReport(slices=slices, refusals=refusals)


def _measure(
    gates: Gates,
    name: str,
    rows: SplitRows,
    effective: list[Effective],
    scores: Mapping[str, np.ndarray],
    seed: int,
) -> Slice:
    figures = {
        (model, key): remembering(make(rows.labels, values))
        for model, values in scores.items()
        for key, make in _FIGURES.items()
    }
    references = [model for model in scores if model != CANDIDATE]
    for model in references:
        figures[model, "gain"] = _gain(figures[CANDIDATE, "auc"], figures[model, "auc"])
        figures[model, "increase"] = _increase(
            figures[CANDIDATE, "log_loss"], figures[model, "log_loss"]
        )
    measured = intervals(
        figures,
        rows.weights,
        rows.clusters,
        confidence=gates.confidence,
        resamples=gates.resamples,
        seed=seed,
        what=f"{name}: resamples measured",
    )
    if name == OVERALL:
        factor = widening(gates.confidence, fewest_observations(effective))
        measured = {key: found.widened(factor) for key, found in measured.items()}
    enough = (rows.weights > 0).sum() >= gates.per_scenario.min_rows
    return Slice(
        name=name,
        rows=len(rows.labels),
        positives=int((rows.labels > 0).sum()),
        judged=name == OVERALL or bool(enough and can_be_compared(gates, effective)),
        models={
            model: ModelFigures(**{key: measured[model, key] for key in _FIGURES})
            for model in scores
        },
        gains={model: measured[model, "gain"] for model in references},
        increases={model: measured[model, "increase"] for model in references},
    )


class Effective(NamedTuple):
    """How much rows say: as many rows, and clusters, of equal weight."""

    rows: float
    clusters: float


def effective_numbers(rows: SplitRows) -> list[Effective]:
    """The effective numbers of the class with the label 0, then of that with 1."""
    return [
        _effective_of(rows.where((rows.labels > 0) == positive))
        for positive in (False, True)
    ]


def _effective_of(rows: SplitRows) -> Effective:
    _, cluster = np.unique(rows.clusters, return_inverse=True)
    by_cluster = np.bincount(cluster, rows.weights)
    return Effective(_effective(rows.weights), _effective(by_cluster))


def fewest_observations(effective: list[Effective]) -> float:
    """How many the figures of rows are of: those of the class that has fewer."""
    return min(one.clusters for one in effective)


def can_be_compared(gates: Gates, effective: list[Effective]) -> bool:
    """Whether rows are enough for a bootstrap of them to say anything.

    An AUC is as uncertain as the class that says less. What a class says is measured by
    effective numbers: of its rows, and with `gates.resample_by` of its clusters, of
    which a few may have nearly all of the weight.

    Args:
        gates: Has the least numbers, of conversions and of clusters.
        effective: Those of the rows.
    """
    least = gates.per_scenario
    clusters = least.min_clusters if gates.resample_by else 0
    return all(
        one.rows >= least.min_conversions and one.clusters >= max(_LEAST, clusters)
        for one in effective
    )


def _check(gates: Gates, rows: SplitRows, numbers: list[Effective], what: str) -> None:
    """Raises ValueError where not even all rows together say anything."""
    drawn = f"values of {gates.resample_by}" if gates.resample_by else "rows"
    for label, (_, found) in enumerate(numbers):
        if found < _LEAST:
            raise ValueError(
                f"{what}: expected both classes to have {drawn} with an effective"
                f" number of at least {_LEAST}, found {found:.3g} with the label"
                f" {label} in {len(rows.labels):,} rows; no model can be judged on"
                " them: correct the weights, or take more rows"
            )


def _effective(weights: np.ndarray) -> float:
    """The number of equal weights whose mean is as certain as one by these.

    References:
        Kish, "Survey Sampling", 1965, section 11.7.
    """
    weights = weights.astype(np.float64)
    total = weights.sum()
    # Rounded, since equal weights are to give their number.
    return round(float(total**2 / (weights**2).sum()), 6) if total > 0 else 0.0


def _weight_ratio(rows: SplitRows) -> float:
    """How much more a row with the label 1 weighs than one with 0, in the mean.

    Rows of no weight are none. It is 1 where a class has no others: nothing tells it.
    """
    means = []
    for positive in (False, True):
        own = rows.weights[((rows.labels > 0) == positive) & (rows.weights > 0)]
        if not own.size:
            return 1.0
        means.append(own.mean(dtype=np.float64))
    return float(means[1] / means[0])


def _lost_labels(
    gates: Gates,
    name: str,
    rows: SplitRows,
    scores: Mapping[str, np.ndarray],
    ratio: float,
    names: Mapping[str, str],
    scenarios: int,
) -> Iterator[Refusal]:
    """Refuses a scenario that has hardly any rows of a class, and a model knows better.

    A candidate that was trained on such labels, as of a channel whose conversions
    weren't joined, scores all of its rows alike, and is calibrated to them.

    A score is the share of the weight that converts, and rows are what is counted here.
    The scenario lacks a class, so that the weight of one of its rows is taken from all
    rows: `ratio` times that of the other's. Chance is that of drawing clusters, such as
    customers, whose rows may all be alike.
    """
    least = gates.per_scenario
    weighs = rows.weights > 0
    total = int(weighs.sum())
    if total < least.min_rows:
        return
    rows_of_cluster = total / len(np.unique(rows.clusters[weighs]))
    for label in (0, 1):
        sums = {
            model: _expected_rows(values[weighs], label, ratio)
            for model, values in scores.items()
        }
        model = max(sums, key=lambda model: sums[model])
        if not sums[model] >= least.min_conversions:
            continue
        own = weighs & (rows.labels == label)
        mean = _mean_of_count(
            len(np.unique(rows.clusters[own])), 1 - (1 - gates.confidence) / scenarios
        )
        found = Interval(
            value=float(own.sum()),
            low=rows_of_cluster * mean.low,
            high=rows_of_cluster * mean.high,
        )
        # A few may be left, such as those of the first days.
        if found.high < sums[model] * (_HARDLY_ANY if own.any() else 1):
            yield Refusal(
                gate="per_scenario.min_conversions",
                slice=name,
                figure=f"the number of rows with the label {label}",
                found=found,
                bound=(
                    f"about {sums[model]:,.0f} of {total:,} by the scores of"
                    f" {names.get(model, model)}; check the labels"
                ),
                comparisons=scenarios,
            )


def _expected_rows(scores: np.ndarray, label: int, ratio: float) -> float:
    """The number of rows with a label, by scores that are shares of the weight.

    Odds of the weight are those of the rows times the ratio of the classes' weights.
    """
    positive = scores.astype(np.float64)
    negative = ratio * (1 - positive)
    return float(((positive if label else negative) / (positive + negative)).sum())


def _mean_of_count(count: int, confidence: float) -> Interval:
    """A count, with the exact interval of the mean of such counts (Poisson's).

    References:
        Garwood, "Fiducial Limits for the Poisson Distribution", Biometrika 28, 1936.
    """
    tail = (1 - confidence) / 2
    low = stats.chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    high = stats.chi2.ppf(1 - tail, 2 * count + 2) / 2
    return Interval(value=float(count), low=float(low), high=float(high))


def _gain(ours: WeightedFigure, theirs: WeightedFigure) -> WeightedFigure:
    return lambda weights: ours(weights) - theirs(weights)


def _increase(ours: WeightedFigure, theirs: WeightedFigure) -> WeightedFigure:
    return lambda weights: ours(weights) / theirs(weights) - 1


def _refusals(
    gates: Gates, one: Slice, *, comparisons: int, factor: float
) -> Iterator[Refusal]:
    refuse = functools.partial(Refusal, slice=one.name, comparisons=comparisons)
    if one.name == OVERALL:
        auc_key, least_auc = "auc.min", gates.auc.min
        gain_key, least_gain = "auc.min_gain", gates.auc.min_gain
    else:
        auc_key, least_auc = "per_scenario.min_auc", gates.per_scenario.min_auc
        gain_key, least_gain = "per_scenario.max_loss", -gates.per_scenario.max_loss
    area = one.models[CANDIDATE].auc.widened(factor)
    if area.high < least_auc:
        bound = f"at least {least_auc:g}"
        yield refuse(gate=auc_key, figure="AUC", found=area, bound=bound)
    for model, plain in one.gains.items():
        gain = plain.widened(factor)
        if gain.high < least_gain:
            figure, bound = f"gain in AUC over {model}", f"at least {least_gain:g}"
            yield refuse(gate=gain_key, figure=figure, found=gain, bound=bound)
    key, most = "log_loss.max_increase", gates.log_loss.max_increase
    for model, plain in one.increases.items():
        increase = plain.widened(factor)
        if increase.low > most:
            figure = f"relative increase in log loss over {model}"
            bound = f"at most {most:g}"
            yield refuse(gate=key, figure=figure, found=increase, bound=bound)
    error = gates.calibration.max_error
    low, high = 1 - error, 1 + error
    ratio = one.models[CANDIDATE].calibration.widened(factor)
    # NaN is refused too: it comes from scores that are none.
    if not (ratio.low <= high and ratio.high >= low):
        figure, bound = "predicted / observed", f"between {low:g} and {high:g}"
        production = one.models.get(PRODUCTION)
        yield refuse(
            gate=CALIBRATION,
            figure=figure,
            found=ratio,
            bound=bound,
            production=production.calibration.widened(factor) if production else None,
        )

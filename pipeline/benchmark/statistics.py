"""Figures of scored rows, and paired differences of two models over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from pipeline.evaluation.bootstrap import (
    Figure,
    Interval,
    auc,
    calibration,
    intervals,
    log_loss,
)


class Rows(NamedTuple):
    """Rows of a split.

    Attributes:
        labels: `(rows,)` float32, 0 or 1.
        weights: `(rows,)` float32; ones if the description names no weight.
        scenarios: `(rows,)`, names: the fields' values joined by `/`.
        clusters: `(rows,)`: ids of `gates.resample_by`, or the rows' numbers.
    """

    labels: np.ndarray
    weights: np.ndarray
    scenarios: np.ndarray
    clusters: np.ndarray

    def where(self, mask: np.ndarray) -> Rows:
        """The rows at which a bool `(rows,)` is true."""
        return Rows(*(column[mask] for column in self))


class Figures(BaseModel):
    """One model on the rows of a split, or of one of its scenarios.

    Attributes:
        scenario: The scenario; None for all rows.
        rows: Number of rows.
        auc: Exact, ties counting half; None where a class has no row.
        gauc: The mean of the scenarios' AUCs by the sum of their rows' weights, over
            those that have one. In a scenario, its own AUC.
        logloss: In nats; None where no row has weight, or a score is no number.
        calibration: Predicted over observed; None without a positive row.
    """

    model_config = ConfigDict(frozen=True)

    scenario: str | None
    rows: int
    auc: float | None
    gauc: float | None
    logloss: float | None
    calibration: float | None


def figures(rows: Rows, scores: np.ndarray) -> list[Figures]:
    """The figures of all rows, then those of each scenario by name.

    Args:
        rows: The rows of a split.
        scores: `(rows,)`, the probability that the label is 1.

    References:
        GAUC: Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", KDD
        2017, section 4.2, with scenarios for users.
    """
    found = []
    weighted: list[tuple[float, float]] = []
    for scenario in np.unique(rows.scenarios):
        mask = rows.scenarios == scenario
        part = rows.where(mask)
        own = _figures(str(scenario), part, scores[mask])
        found.append(own)
        if own.auc is not None:
            weighted.append((own.auc, float(part.weights.sum(dtype=np.float64))))
    total = sum(weight for _, weight in weighted)
    gauc = sum(value * weight for value, weight in weighted) / total if total else None
    overall = _figures(None, rows, scores).model_copy(update={"gauc": gauc})
    return [overall, *found]


def t_interval(
    values: Sequence[float], confidence: float, overlap: float = 0.0
) -> Interval:
    """The mean and Student's interval of it, NaN for fewer than two values.

    Args:
        values: One a seed.
        confidence: Coverage, for example 0.95.
        overlap: Number of test rows over that of train rows, where each seed draws both
            from the same rows: values then resemble each other, and the mean's variance
            is `1 / n + overlap` times theirs. Default 0: they are independent.

    References:
        Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning
        52, 2003, section 4.1.
    """
    mean = float(np.mean(values)) if values else math.nan
    if len(values) < 2:
        return Interval(value=mean, low=math.nan, high=math.nan)
    error = float(np.std(values, ddof=1)) * (1 / len(values) + overlap) ** 0.5
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return Interval(value=mean, low=mean - half, high=mean + half)


class Gains(NamedTuple):
    """What a model gains over another one; above 0 it is better.

    Attributes:
        auc: Its AUC less the other's.
        logloss: The other's log loss less its own, in nats.
    """

    auc: Interval
    logloss: Interval


def bootstrap_gains(
    rows: Rows,
    scores: Sequence[np.ndarray],
    baseline: Sequence[np.ndarray],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Gains:
    """The mean gains of trainings over others, with bootstrap intervals.

    The intervals tell whether these trainings are better on other rows, not whether
    others of the same models would be.

    Args:
        rows: The rows that all have scored; clusters are drawn as a whole.
        scores: `(rows,)` for each seed, the model's.
        baseline: `(rows,)` for each seed, the baseline's.
        confidence: Coverage.
        resamples: Number of resamples.
        seed: Of the draw.
    """
    found = intervals(
        {
            "auc": _mean_difference(auc, rows.labels, scores, baseline),
            "logloss": _mean_difference(log_loss, rows.labels, baseline, scores),
        },
        rows.weights,
        rows.clusters,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    return Gains(**found)


def _mean_difference(
    figure: Callable[[np.ndarray, np.ndarray], Figure],
    labels: np.ndarray,
    one: Sequence[np.ndarray],
    other: Sequence[np.ndarray],
) -> Figure:
    pairs = [
        (figure(labels, first), figure(labels, second))
        for first, second in zip(one, other, strict=True)
    ]
    return lambda weights: np.mean(
        [first(weights) - second(weights) for first, second in pairs], axis=0
    )


def t_gains(
    pairs: Sequence[tuple[Figures, Figures]], confidence: float, overlap: float = 0.0
) -> Gains:
    """The mean gains of several trainings, with Student's intervals.

    Args:
        pairs: By seed, the model's figures and the baseline's. A seed in which either
            lacks a figure doesn't count for it.
        confidence: Coverage.
        overlap: As of `t_interval`.
    """
    areas = [
        own.auc - other.auc
        for own, other in pairs
        if own.auc is not None and other.auc is not None
    ]
    losses = [
        other.logloss - own.logloss
        for own, other in pairs
        if own.logloss is not None and other.logloss is not None
    ]
    return Gains(
        t_interval(areas, confidence, overlap), t_interval(losses, confidence, overlap)
    )


def with_both_errors(one: Gains, other: Gains) -> Gains:
    """The gains of the first, with intervals for two independent errors.

    Args:
        one: Gains with intervals for one kind of error.
        other: The same gains, with intervals for the other kind.
    """
    return Gains(*map(_widen, one, other))


def _widen(one: Interval, other: Interval) -> Interval:
    # Half-widths of independent errors add up as their squares.
    below = math.hypot(one.value - one.low, max(other.value - other.low, 0))
    above = math.hypot(one.high - one.value, max(other.high - other.value, 0))
    return Interval(value=one.value, low=one.value - below, high=one.value + above)


def defined(value: float) -> float | None:
    """The value; None if it is NaN or infinite, which JSON can't hold."""
    return value if math.isfinite(value) else None


def _figures(scenario: str | None, rows: Rows, scores: np.ndarray) -> Figures:
    weights = rows.weights[np.newaxis].astype(np.float64)
    area, loss, ratio = (
        float(figure(rows.labels, scores)(weights)[0])
        for figure in (auc, log_loss, calibration)
    )
    return Figures(
        scenario=scenario,
        rows=len(rows.labels),
        auc=defined(area),
        gauc=defined(area),
        logloss=defined(loss),
        calibration=defined(ratio),
    )

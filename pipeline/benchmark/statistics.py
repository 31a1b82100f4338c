"""Figures of scored rows, and paired differences of two models over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from pipeline.evaluation.bootstrap import (
    Interval,
    auc,
    calibration,
    intervals,
    log_loss,
)

Verdict = Literal["gains", "loses", "cannot tell", "too few"]


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


def t_interval(values: Sequence[float], confidence: float) -> Interval:
    """The mean and Student's interval of it, NaN for fewer than two values.

    Args:
        values: One a seed.
        confidence: Coverage, for example 0.95.
    """
    mean = float(np.mean(values)) if values else math.nan
    if len(values) < 2:
        return Interval(value=mean, low=math.nan, high=math.nan)
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
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
    scores: np.ndarray,
    baseline: np.ndarray,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Gains:
    """The gains of a single training over another, with bootstrap intervals.

    Args:
        rows: The rows that both have scored; clusters are drawn as a whole.
        scores: `(rows,)`, the model's.
        baseline: `(rows,)`, the baseline's.
        confidence: Coverage.
        resamples: Number of resamples.
        seed: Of the draw.
    """
    areas = auc(rows.labels, scores), auc(rows.labels, baseline)
    losses = log_loss(rows.labels, scores), log_loss(rows.labels, baseline)
    found = intervals(
        {
            "auc": lambda weights: areas[0](weights) - areas[1](weights),
            "logloss": lambda weights: losses[1](weights) - losses[0](weights),
        },
        rows.weights,
        rows.clusters,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    return Gains(**found)


def t_gains(pairs: Sequence[tuple[Figures, Figures]], confidence: float) -> Gains:
    """The mean gains of several trainings, with Student's intervals.

    Args:
        pairs: By seed, the model's figures and the baseline's. A seed in which either
            lacks a figure doesn't count for it.
        confidence: Coverage.
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
    return Gains(t_interval(areas, confidence), t_interval(losses, confidence))


def defined(value: float) -> float | None:
    """The value; None if it is NaN or infinite, which JSON can't hold."""
    return value if math.isfinite(value) else None


def verdict(gain: Interval, rarer: int, min_rarer: int) -> Verdict:
    """What the interval of a gain says.

    Args:
        gain: The gain.
        rarer: Number of rows of the rarer class.
        min_rarer: With fewer, there are `too few` to say anything: seeds may agree on
            what is chance, since they share the rows, and so may resamples.
    """
    if rarer < min_rarer:
        return "too few"
    if gain.low > 0:
        return "gains"
    return "loses" if gain.high < 0 else "cannot tell"


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

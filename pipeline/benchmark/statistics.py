"""Paired differences of two models, over seeds and over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from pipeline.evaluation.bootstrap import Interval, intervals
from pipeline.evaluation.figures import Figures, WeightedFigure, auc, log_loss
from pipeline.evaluation.rows import SplitRows


def t_interval(values: Sequence[float], confidence: float, overlap: float) -> Interval:
    """The mean and Student's interval of it, NaN for fewer than two values.

    Args:
        values: One a seed.
        confidence: Coverage, for example 0.95.
        overlap: Number of test rows over that of train rows, where each seed draws both
            from the same rows: values then resemble each other, and the mean's variance
            is `1 / n + overlap` times theirs. 0 if they are independent.

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
    rows: SplitRows,
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
    figure: Callable[[np.ndarray, np.ndarray], WeightedFigure],
    labels: np.ndarray,
    one: Sequence[np.ndarray],
    other: Sequence[np.ndarray],
) -> WeightedFigure:
    pairs = [
        (figure(labels, first), figure(labels, second))
        for first, second in zip(one, other, strict=True)
    ]
    return lambda weights: np.mean(
        [first(weights) - second(weights) for first, second in pairs], axis=0
    )


def t_gains(
    pairs: Sequence[tuple[Figures, Figures]], confidence: float, overlap: float
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

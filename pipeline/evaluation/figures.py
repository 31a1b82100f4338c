"""Figures of scored rows, without intervals, overall and by scenario."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pipeline.evaluation.rows import SplitRows
from pipeline.records import Record

Array = np.ndarray

WeightedFigure = Callable[[Array], Array]
"""From weights `(resamples, rows)` to figures `(resamples,)`."""


def auc(labels: Array, scores: Array) -> WeightedFigure:
    """The AUC as a function of the rows' weights.

    Args:
        labels: `(rows,)`, 0 or 1.
        scores: `(rows,)`.

    Returns:
        A function from weights `(resamples, rows)` to AUCs `(resamples,)`: the weighted
        share of pairs of a positive and a negative row in which the positive has the
        higher score, ties counting half; NaN where a class has no weight, or a score is
        no number.
    """
    if not np.isfinite(scores).all():
        return lambda weights: np.full(len(weights), np.nan)
    positive = labels > 0
    rarely_positive = 2 * positive.sum() <= len(positive)
    rare = positive if rarely_positive else ~positive
    # Millions of rows are sorted into cells once, by the few scores of the rarer class,
    # so that a resample takes one pass over its weights: as many cells as these scores,
    # and those of the other class between, at, and beyond them, in turn.
    values = np.unique(scores[rare])
    lower = np.searchsorted(values, scores)
    common_cells = 2 * len(values) + 1
    cells = np.where(
        rare, common_cells + lower, lower + np.searchsorted(values, scores, "right")
    )

    def figure(weights: Array) -> Array:
        sums = np.stack(
            [np.bincount(cells, row, common_cells + len(values)) for row in weights]
        )
        common, winners = sums[:, :common_cells], sums[:, common_cells:]
        beaten = np.cumsum(common, axis=1)[:, :-1:2] + common[:, 1::2] / 2
        pairs = winners.sum(axis=1) * common.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            won = (winners * beaten).sum(axis=1) / pairs
        return won if rarely_positive else 1 - won

    return figure


def log_loss(labels: Array, scores: Array) -> WeightedFigure:
    """The mean logistic loss in nats, as a function of the rows' weights; see `auc`."""
    clipped = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    loss = -np.where(labels > 0, np.log(clipped), np.log1p(-clipped))

    def figure(weights: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return weights @ loss / weights.sum(axis=1)

    return figure


def calibration(labels: Array, scores: Array) -> WeightedFigure:
    """Predicted over observed, as a function of the rows' weights; see `auc`."""
    predicted, observed = scores.astype(np.float64), labels.astype(np.float64)

    def figure(weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return weights @ predicted / (weights @ observed)

    return figure


def remembering(figure: WeightedFigure) -> WeightedFigure:
    """A figure that others are made of, computed once for the same resamples."""
    last: list[Array] = [np.empty(0), np.empty(0)]

    def remembered(weights: Array) -> Array:
        if weights is not last[0]:
            last[:] = weights, figure(weights)
        return last[1]

    return remembered


class Figures(Record):
    """One model on the rows of a split, or of one of its scenarios.

    Attributes:
        scenario: The scenario; None for all rows.
        rows: Number of rows.
        auc: Exact, ties counting half; None where a class has no row, or a score is no
            number.
        gauc: The mean of the scenarios' AUCs by the sum of their rows' weights, over
            those that have one. In a scenario, its own AUC.
        logloss: In nats; None where no row has weight, or a score is no number.
        calibration: Predicted over observed; None without a positive row.
    """

    scenario: str | None
    rows: int
    auc: float | None
    gauc: float | None
    logloss: float | None
    calibration: float | None


def figures(rows: SplitRows, scores: np.ndarray) -> list[Figures]:
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
    for scenario, numbers in rows.by_scenario().items():
        part = rows.where(numbers)
        own = _figures(scenario, part, scores[numbers])
        found.append(own)
        if own.auc is not None:
            weighted.append((own.auc, float(part.weights.sum(dtype=np.float64))))
    total = sum(weight for _, weight in weighted)
    gauc = sum(value * weight for value, weight in weighted) / total if total else None
    overall = _figures(None, rows, scores).model_copy(update={"gauc": gauc})
    return [overall, *found]


def defined(value: float) -> float | None:
    """The value; None if it is NaN or infinite, which JSON can't hold."""
    return value if math.isfinite(value) else None


def _figures(scenario: str | None, rows: SplitRows, scores: np.ndarray) -> Figures:
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

"""Figures of scored rows, without intervals, overall and by scenario."""

from __future__ import annotations

import math

import numpy as np

from pipeline.evaluation.bootstrap import auc, calibration, log_loss
from pipeline.evaluation.rows import SplitRows
from pipeline.records import Record


class Figures(Record):
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

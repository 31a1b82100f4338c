"""What a candidate must hold before it may be pushed."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from midpg_tf.spec.section import Section

OVERALL = "overall"
"""What reports call all rows, and therefore no scenario's name."""

Probability = Annotated[float, Field(ge=0, le=1)]


class AUCGate(Section):
    """Bounds on the AUC over all test rows.

    Args:
        min: Least AUC. Default 0.5.
        min_gain: Least difference to the baseline, and to the model in production.
            Default -0.002.
    """

    min: Probability = 0.5
    min_gain: Annotated[float, Field(ge=-1, le=1)] = -0.002


class ScenarioBounds(Section):
    """Bounds on each scenario by itself.

    Args:
        min_rows: Scenarios with fewer test rows that have a weight are reported, not
            judged. Default 500.
        min_conversions: So are those with fewer rows of the rarer class, however many
            rows they have: a bootstrap of one conversion always finds that one. Weights
            that differ count as fewer: `(sum w)^2 / sum w^2`. One of `min_rows` with
            no row of a class, or hardly any, is refused if a model's scores say that
            there should be this many. Default 30.
        min_clusters: With `gates.resample_by`, so are those where either class is of
            fewer customers: a bootstrap of a handful gives intervals that are too
            narrow. Customers of unequal weight count as fewer, too. Default 20.
        min_auc: Least AUC of a scenario. Default 0.5.
        max_loss: Most AUC that a scenario may lose to the baseline, or to the model
            in production. Default 0.01.
    """

    min_rows: PositiveInt = 500
    min_conversions: PositiveInt = 30
    min_auc: Probability = 0.5
    min_clusters: PositiveInt = 20
    max_loss: Probability = 0.01


class LogLossGate(Section):
    """Bound on the log loss against the baseline and the model in production.

    AUC and calibration don't see everything: scores that still order rows but tell
    them apart by nearly nothing pass both.

    Args:
        max_increase: Largest relative increase, overall and in each scenario with
            enough rows: 0.05 allows 5 % more. Default 0.05.
    """

    max_increase: Annotated[float, Field(ge=0)] = 0.05


class CalibrationGate(Section):
    """Bound on |predicted / observed - 1|, the ratio of mean score and mean label.

    Args:
        max_error: Largest error, overall and in each scenario with enough rows.
            Default 0.2.
    """

    max_error: Annotated[float, Field(gt=0)] = 0.2


class Gates(Section):
    """The bounds. A gate refuses when the whole interval lies beyond its bound.

    Args:
        auc: Over all rows.
        per_scenario: Scenario by scenario.
        log_loss: Overall and scenario by scenario.
        calibration: Overall and scenario by scenario.
        resample_by: A categorical feature, such as the customer, whose rows are
            resampled together, since they resemble each other: a bootstrap of single
            rows would take a few customers' taste for a certainty. Rows without a
            value are resampled by themselves. Default: by row.
        confidence: Coverage of the bootstrap intervals. Default 0.95.
        resamples: Number of bootstrap resamples, of which at least two must lie beyond
            each end of an interval: 4 / (1 - confidence). Default 1,000.
    """

    auc: AUCGate = AUCGate()
    per_scenario: ScenarioBounds = ScenarioBounds()
    log_loss: LogLossGate = LogLossGate()
    calibration: CalibrationGate = CalibrationGate()
    resample_by: str | None = None
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    resamples: Annotated[int, Field(ge=100)] = 1000

    @model_validator(mode="after")
    def _have_resamples_beyond_the_ends(self) -> Self:
        # Of fewer, the ends are the extreme resamples, whatever the confidence.
        least = math.ceil(round(4 / (1 - self.confidence), 6))
        if self.resamples < least:
            raise ValueError(
                f"resamples: expected at least {least:,} for a confidence of"
                f" {self.confidence:g}, found {self.resamples:,}"
            )
        return self

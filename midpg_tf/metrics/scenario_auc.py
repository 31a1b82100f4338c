"""The area under the ROC curve, overall and by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.metrics.scenario_metric import ScenarioMetric, columns

_MOST_EXTREME_LOGIT = 12.0

_TOTAL_BINS = 8000
"""Bins of the figure over all rows, which is one and may be fine."""

_MOST_BINS, _LEAST_BINS = 500, 50
"""Bins of a scenario. With fewer, too many scores would be alike."""

_MOST_CELLS = 100_000
"""Scenarios times bins, from which on scenarios get fewer bins, and at last none."""


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioAUC(ScenarioMetric):
    """AUC over all rows, in each scenario, and their mean weighted by rows (GAUC).

    Scores are counted in bins of equal width in their logit, so that the rare and
    low scores of conversions are told apart as well as others. The AUC is the chance
    that a positive row has a higher score than a negative one, ties (here: rows in
    the same bin) counting half. Where the logits of a scenario have a standard
    deviation of d, ties take about a share of `(24 / bins / d)^2 / 12` off its AUC's
    distance from 0.5: with 500 bins and d = 0.3 that is 0.2 %, with 50 bins 20 %.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        bins: Number of bins a scenario, between logits of -12 and 12; the figure over
            all rows has 8,000. Default: 500, from 201 scenarios on fewer, and from
            2,001 on none, so that a step's cost stays bounded.
        name: Default `auc`.

    Result:
        A dictionary of float32: `auc`, `gauc`, and, with at most 64 scenarios,
        `auc/<scenario>`; NaN where a scenario has rows of only one class so far, or a
        score that is NaN. `gauc` leaves these out. Without bins for scenarios there is
        `auc` alone.

    References:
        Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve",
        Radiology 143, 1982. GAUC: Zhu et al., "Optimized Cost per Click in Taobao
        Display Advertising", KDD 2017, with scenarios in place of users.
    """

    def __init__(
        self,
        scenarios: Sequence[str],
        bins: int | None = None,
        name: str = "auc",
        **kwargs: Any,
    ) -> None:
        super().__init__(scenarios, name, **kwargs)
        count = len(self.scenarios)
        self.bins = bins or min(_MOST_BINS, _MOST_CELLS // count)
        if not bins and self.bins < _LEAST_BINS:
            self.bins = 0
        self.positives, self.negatives, self.all_positives, self.all_negatives = (
            self.add_weight(name, shape, initializer="zeros")
            for name, shape in (
                ("positives", (count, self.bins)),
                ("negatives", (count, self.bins)),
                ("all_positives", (_TOTAL_BINS,)),
                ("all_negatives", (_TOTAL_BINS,)),
            )
        )

    def update_state(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        scenario: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> None:
        """Counts rows.

        Args:
            y_true: `(batch,)`, 0 or 1.
            y_pred: `(batch,)`, probabilities.
            scenario: int32 or int64 `(batch,)`, indices of scenarios.
            sample_weight: `(batch,)`. Default: 1 each.
        """
        labels, scores, weights = columns(y_true, y_pred, sample_weight)
        logits = tf.math.log(scores) - tf.math.log1p(-scores)
        share = tf.clip_by_value((logits / _MOST_EXTREME_LOGIT + 1) / 2, 0, 1)
        # A NaN has no place in the order, and no bin; left out, it would go unseen.
        undefined = tf.math.is_nan(scores)
        weights = tf.where(undefined, scores, weights)
        share = tf.where(undefined, 0.0, share)
        cell_of_all = _bin(share, _TOTAL_BINS)
        for value, total, total_of_all in (
            (labels * weights, self.positives, self.all_positives),
            ((1 - labels) * weights, self.negatives, self.all_negatives),
        ):
            total_of_all.assign_add(
                tf.math.unsorted_segment_sum(value, cell_of_all, _TOTAL_BINS)
            )
            if self.bins:
                cell = tf.cast(scenario, tf.int64) * self.bins + _bin(share, self.bins)
                cells = len(self.scenarios) * self.bins
                counts = tf.math.unsorted_segment_sum(value, cell, cells)
                total.assign_add(tf.reshape(counts, (-1, self.bins)))

    def result(self) -> dict[str, tf.Tensor]:
        total = _area(self.all_positives, self.all_negatives)
        if not self.bins:
            return {self.name: total}
        each = _area(self.positives, self.negatives)
        rows = tf.reduce_sum(self.positives + self.negatives, axis=1)
        rows = tf.where(tf.math.is_nan(each), 0.0, rows)
        grouped = tf.reduce_sum(tf.math.multiply_no_nan(each, rows))
        result = self.named(total, each)
        return result | {f"g{self.name}": grouped / tf.reduce_sum(rows)}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"bins": self.bins}


def _bin(share: tf.Tensor, bins: int) -> tf.Tensor:
    return tf.minimum(tf.cast(share * bins, tf.int64), bins - 1)


def _area(positives: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    below = tf.cumsum(negatives, axis=-1, exclusive=True)
    won = tf.reduce_sum(positives * (below + negatives / 2), axis=-1)
    pairs = tf.reduce_sum(positives, axis=-1) * tf.reduce_sum(negatives, axis=-1)
    return won / pairs

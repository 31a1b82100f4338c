"""The area under the ROC curve, overall and by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.metrics.scenario_metric import ScenarioMetric, columns

MOST_EXTREME_LOGIT = 12.0


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioAUC(ScenarioMetric):
    """AUC over all rows, in each scenario, and their mean weighted by rows (GAUC).

    Scores are counted in bins of equal width in their logit, so that the rare and
    low scores of conversions are told apart as well as others. The AUC is the chance
    that a positive row has a higher score than a negative one, ties (here: rows in
    the same bin) counting half.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        bins: Number of bins between logits of -12 and 12. Default 500.
        name: Default `auc`.

    Result:
        A dictionary of float32: `auc`, `gauc`, and `auc/<scenario>`; NaN where a
        scenario has rows of only one class so far. `gauc` leaves these out.

    References:
        Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve",
        Radiology 143, 1982. GAUC: Zhou et al., "Deep Interest Network", KDD 2018,
        section 6.2, with scenarios in place of users.
    """

    def __init__(
        self,
        scenarios: Sequence[str],
        bins: int = 500,
        name: str = "auc",
        **kwargs: Any,
    ) -> None:
        super().__init__(scenarios, name, **kwargs)
        self.bins = bins
        shape = (len(self.scenarios), bins)
        self.positives = self.add_weight("positives", shape, initializer="zeros")
        self.negatives = self.add_weight("negatives", shape, initializer="zeros")

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
            scenario: int64 `(batch,)`, indices of scenarios.
            sample_weight: `(batch,)`. Default: 1 each.
        """
        labels, scores, weights = columns(y_true, y_pred, sample_weight)
        logits = tf.math.log(scores) - tf.math.log1p(-scores)
        share = (logits / MOST_EXTREME_LOGIT + 1) / 2
        bins = tf.cast(tf.clip_by_value(share, 0, 1) * self.bins, tf.int64)
        cell = scenario * self.bins + tf.minimum(bins, self.bins - 1)
        for total, value in (
            (self.positives, labels * weights),
            (self.negatives, (1 - labels) * weights),
        ):
            counts = tf.math.unsorted_segment_sum(
                value, cell, len(self.scenarios) * self.bins
            )
            total.assign_add(tf.reshape(counts, (-1, self.bins)))

    def result(self) -> dict[str, tf.Tensor]:
        each = _area(self.positives, self.negatives)
        total = _area(
            tf.reduce_sum(self.positives, axis=0), tf.reduce_sum(self.negatives, axis=0)
        )
        rows = tf.reduce_sum(self.positives + self.negatives, axis=1)
        rows = tf.where(tf.math.is_nan(each), 0.0, rows)
        grouped = tf.reduce_sum(tf.math.multiply_no_nan(each, rows))
        result = self.named(total, each)
        return result | {f"g{self.name}": grouped / tf.reduce_sum(rows)}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"bins": self.bins}


def _area(positives: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    below = tf.cumsum(negatives, axis=-1, exclusive=True)
    won = tf.reduce_sum(positives * (below + negatives / 2), axis=-1)
    pairs = tf.reduce_sum(positives, axis=-1) * tf.reduce_sum(negatives, axis=-1)
    return won / pairs

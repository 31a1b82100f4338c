"""The logistic loss, overall and by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.metrics.scenario_metric import ScenarioMetric, columns


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioLogLoss(ScenarioMetric):
    """Mean of `-y log(p) - (1 - y) log(1 - p)`, in nats, over all rows and by scenario.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        name: Default `log_loss`.

    Result:
        A dictionary of float32: `log_loss` and `log_loss/<scenario>`; NaN where a
        scenario has no rows so far.
    """

    def __init__(
        self, scenarios: Sequence[str], name: str = "log_loss", **kwargs: Any
    ) -> None:
        super().__init__(scenarios, name, **kwargs)
        shape = (len(self.scenarios),)
        self.loss = self.add_weight("loss", shape, initializer="zeros")
        self.weight = self.add_weight("weight", shape, initializer="zeros")

    def update_state(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        scenario: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> None:
        """Counts rows; the arguments are those of `ScenarioAUC.update_state`."""
        labels, scores, weights = columns(y_true, y_pred, sample_weight)
        scores = tf.clip_by_value(scores, 1e-7, 1 - 1e-7)
        loss = -tf.math.xlogy(labels, scores) - tf.math.xlog1py(1 - labels, -scores)
        self.add_by_scenario(self.loss, loss * weights, scenario)
        self.add_by_scenario(self.weight, weights, scenario)

    def result(self) -> dict[str, tf.Tensor]:
        return self.named(
            tf.reduce_sum(self.loss) / tf.reduce_sum(self.weight),
            self.loss / self.weight,
        )

"""Predicted over observed conversions, overall and by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.metrics.scenario_metric import ScenarioMetric, columns


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioCalibration(ScenarioMetric):
    """Sum of scores over sum of labels: 1 is calibrated, above 1 promises too much.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        name: Default `calibration`.

    Result:
        A dictionary of float32: `calibration` and `calibration/<scenario>`; infinite
        or NaN where a scenario has no positive rows so far.
    """

    def __init__(
        self, scenarios: Sequence[str], name: str = "calibration", **kwargs: Any
    ) -> None:
        super().__init__(scenarios, name, **kwargs)
        shape = (len(self.scenarios),)
        self.predicted = self.add_weight("predicted", shape, initializer="zeros")
        self.observed = self.add_weight("observed", shape, initializer="zeros")

    def update_state(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        scenario: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> None:
        """Counts rows; the arguments are those of `ScenarioAUC.update_state`."""
        labels, scores, weights = columns(y_true, y_pred, sample_weight)
        self.add_by_scenario(self.predicted, scores * weights, scenario)
        self.add_by_scenario(self.observed, labels * weights, scenario)

    def result(self) -> dict[str, tf.Tensor]:
        return self.named(
            tf.reduce_sum(self.predicted) / tf.reduce_sum(self.observed),
            self.predicted / self.observed,
        )

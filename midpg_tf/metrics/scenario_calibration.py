"""Predicted over observed conversions, overall and by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.metrics.scenario_metric import ScenarioRatio


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioCalibration(ScenarioRatio):
    """Sum of scores over sum of labels: 1 is calibrated, above 1 promises too much.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        name: Default `calibration`.

    Result:
        A dictionary of float32: `calibration` and, with at most 64 scenarios,
        `calibration/<scenario>`; infinite or NaN where a scenario has no positive rows
        so far.
    """

    def __init__(
        self, scenarios: Sequence[str], name: str = "calibration", **kwargs: Any
    ) -> None:
        super().__init__(scenarios, name, **kwargs)

    def terms(
        self, labels: tf.Tensor, scores: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return scores, labels

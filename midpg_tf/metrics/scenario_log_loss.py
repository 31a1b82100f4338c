"""The logistic loss, overall and by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.metrics.scenario_metric import ScenarioRatio


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioLogLoss(ScenarioRatio):
    """Mean of `-y log(p) - (1 - y) log(1 - p)`, in nats, over all rows and by scenario.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        name: Default `log_loss`.

    Result:
        A dictionary of float32: `log_loss` and, with at most 64 scenarios,
        `log_loss/<scenario>`; NaN where a scenario has no rows so far.
    """

    def __init__(
        self, scenarios: Sequence[str], name: str = "log_loss", **kwargs: Any
    ) -> None:
        super().__init__(scenarios, name, **kwargs)

    def terms(
        self, labels: tf.Tensor, scores: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scores = tf.clip_by_value(scores, 1e-7, 1 - 1e-7)
        loss = -tf.math.xlogy(labels, scores) - tf.math.xlog1py(1 - labels, -scores)
        return loss, tf.ones_like(loss)

"""Streaming metrics by scenario."""

from midpg_tf.metrics.matrix_diversity import MatrixDiversity, matrix_diversity
from midpg_tf.metrics.scenario_auc import ScenarioAUC
from midpg_tf.metrics.scenario_calibration import ScenarioCalibration
from midpg_tf.metrics.scenario_log_loss import ScenarioLogLoss

__all__ = [
    "MatrixDiversity",
    "ScenarioAUC",
    "ScenarioCalibration",
    "ScenarioLogLoss",
    "matrix_diversity",
]

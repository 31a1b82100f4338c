import math

import numpy as np
import tensorflow as tf
from sklearn.metrics import log_loss

from midpg_tf.metrics import ScenarioLogLoss

NAMES = ["common", "rare", "none"]


def test_agrees_with_scikit_learn(rows) -> None:
    metric = ScenarioLogLoss(NAMES)
    metric.update_state(rows.label, rows.score, rows.scenario)
    result = metric.result()
    np.testing.assert_allclose(
        result["log_loss"], log_loss(rows.label, rows.score), rtol=1e-4
    )
    for index, name in enumerate(NAMES):
        part = rows.where(rows.scenario == index)
        np.testing.assert_allclose(
            result[f"log_loss/{name}"],
            log_loss(part.label, part.score, labels=[0, 1]),
            rtol=1e-4,
        )


def test_weights_agree_with_scikit_learn(rows) -> None:
    metric = ScenarioLogLoss(NAMES)
    metric.update_state(rows.label, rows.score, rows.scenario, rows.weight)
    np.testing.assert_allclose(
        metric.result()["log_loss"],
        log_loss(rows.label, rows.score, sample_weight=rows.weight),
        rtol=1e-4,
    )


def test_hand_computed() -> None:
    metric = ScenarioLogLoss(["a", "b"])
    metric.update_state([1, 0], [0.25, 0.5], tf.constant([0, 0], tf.int64))
    # (ln 4 + ln 2) / 2; no row of b.
    result = metric.result()
    np.testing.assert_allclose(result["log_loss"], 1.5 * math.log(2), rtol=1e-6)
    assert np.isnan(result["log_loss/b"])


def test_certain_errors_stay_finite() -> None:
    metric = ScenarioLogLoss(["all"])
    metric.update_state([1, 0], [0.0, 1.0], tf.zeros(2, tf.int64))
    # Scores are kept 1e-7 away from 0 and 1: -ln(1e-7) = 16.1.
    np.testing.assert_allclose(metric.result()["log_loss"], 16.1, atol=0.2)

import numpy as np
import tensorflow as tf

from midpg_tf.metrics import ScenarioCalibration

NAMES = ["common", "rare", "none"]


def test_predicted_over_observed(rows) -> None:
    metric = ScenarioCalibration(NAMES)
    metric.update_state(rows.label, rows.score, rows.scenario)
    result = metric.result()
    np.testing.assert_allclose(
        result["calibration"], rows.score.sum() / rows.label.sum(), rtol=1e-4
    )
    for index, name in enumerate(NAMES[:2]):
        part = rows.where(rows.scenario == index)
        np.testing.assert_allclose(
            result[f"calibration/{name}"],
            part.score.sum() / part.label.sum(),
            rtol=1e-4,
        )
    # Scores, but nothing observed.
    assert np.isinf(result["calibration/none"])


def test_hand_computed_with_weights() -> None:
    metric = ScenarioCalibration(["a", "b"])
    metric.update_state(
        [1, 0, 1],
        [0.5, 0.5, 0.9],
        tf.constant([0, 0, 1], tf.int64),
        sample_weight=[1, 3, 0],
    )
    # (1 * .5 + 3 * .5) / 1 = 2; b's only row has no weight.
    result = metric.result()
    np.testing.assert_allclose(result["calibration"], 2.0)
    np.testing.assert_allclose(result["calibration/a"], 2.0)
    assert np.isnan(result["calibration/b"])

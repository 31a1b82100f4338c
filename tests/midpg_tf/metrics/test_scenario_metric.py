"""What all per-scenario metrics promise."""

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.metrics import ScenarioAUC, ScenarioCalibration, ScenarioLogLoss
from midpg_tf.metrics.scenario_metric import ScenarioMetric

NAMES = ["common", "rare", "none"]
METRICS = [ScenarioAUC, ScenarioLogLoss, ScenarioCalibration]
metrics = pytest.mark.parametrize("metric_class", METRICS)


@metrics
def test_batches_add_up(rows, metric_class: type[ScenarioMetric]) -> None:
    whole, streamed = metric_class(NAMES), metric_class(NAMES)
    whole.update_state(*rows)
    for start in range(0, len(rows.label), 7_000):
        streamed.update_state(*(column[start : start + 7_000] for column in rows))
    expected, result = whole.result(), streamed.result()
    assert expected.keys() == result.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(result[name], value, rtol=1e-5, err_msg=name)


@metrics
def test_scenarios_are_integers_of_any_type(metric_class: type[ScenarioMetric]) -> None:
    found = []
    for dtype in (tf.int32, tf.int64):
        metric = metric_class(["a", "b"])
        metric.update_state([1, 0, 1], [0.7, 0.2, 0.1], tf.constant([0, 0, 1], dtype))
        found.append({name: value.numpy() for name, value in metric.result().items()})
    np.testing.assert_equal(found[1], found[0])


@metrics
def test_weights_are_repetitions(rows, metric_class: type[ScenarioMetric]) -> None:
    weighted, repeated = metric_class(NAMES), metric_class(NAMES)
    weighted.update_state(*rows)
    times = rows.weight.astype(int)
    repeated.update_state(*(np.repeat(column, times) for column in rows[:3]))
    expected, result = repeated.result(), weighted.result()
    for name, value in expected.items():
        np.testing.assert_allclose(result[name], value, rtol=1e-4, err_msg=name)


@metrics
def test_reset_forgets(rows, metric_class: type[ScenarioMetric]) -> None:
    metric, fresh = metric_class(NAMES), metric_class(NAMES)
    metric.update_state(*rows.where(rows.scenario == 0))
    metric.reset_state()
    assert np.isnan(metric.result()[metric.name])
    for each in (metric, fresh):
        each.update_state(*rows.where(rows.scenario == 1))
    for name, value in fresh.result().items():
        np.testing.assert_array_equal(metric.result()[name], value)


@metrics
def test_many_scenarios_give_totals_alone(metric_class: type[ScenarioMetric]) -> None:
    few = metric_class([str(i) for i in range(64)])
    many = metric_class([str(i) for i in range(65)])
    arguments = [1, 0], [0.75, 0.5], tf.constant([63, 63], tf.int64)
    for metric in (few, many):
        metric.update_state(*arguments)
    totals = {few.name, "gauc"} & few.result().keys()
    assert few.result().keys() - totals == {f"{few.name}/{i}" for i in range(64)}
    assert many.result().keys() == totals
    for name in totals:
        np.testing.assert_array_equal(many.result()[name], few.result()[name])


@metrics
def test_counts_in_single_precision_under_mixed_policies(
    policy, metric_class: type[ScenarioMetric]
) -> None:
    policy("mixed_float16")
    metric = metric_class(["all"])
    # In half precision, sums stop growing at 2,048.
    label = tf.constant([1, 1, 1, 0] * 1_000)
    score = tf.constant([0.75, 0.75, 0.25, 0.25] * 1_000)
    metric.update_state(label, score, tf.zeros(4_000, tf.int64))
    # AUC: 2/3 of the pairs won, 1/3 tied. Log loss: half of the scores are of the
    # kind -ln(.75) twice, one -ln(.25), one -ln(.75). Calibration: 2 / 3.
    expected = {
        "auc": 5 / 6,
        "log_loss": -(3 * np.log(0.75) + np.log(0.25)) / 4,
        "calibration": 2 / 3,
    }
    np.testing.assert_allclose(
        metric.result()[metric.name], expected[metric.name], rtol=1e-4
    )


@metrics
def test_works_inside_a_graph(rows, metric_class: type[ScenarioMetric]) -> None:
    eager, graph = metric_class(NAMES), metric_class(NAMES)
    eager.update_state(*rows)

    @tf.function
    def update(*columns: tf.Tensor) -> None:
        graph.update_state(*columns)

    update(*map(tf.constant, rows))
    for name, value in eager.result().items():
        np.testing.assert_allclose(graph.result()[name], value, rtol=1e-5)


@metrics
def test_serialises(metric_class: type[ScenarioMetric], round_trip) -> None:
    metric = metric_class(NAMES, name="figure")
    again = round_trip(metric)
    assert again.get_config()["scenarios"] == NAMES
    assert again.result().keys() == metric.result().keys()


@metrics
def test_keras_tracks_no_names(metric_class: type[ScenarioMetric]) -> None:
    assert "scenarios" not in metric_class(NAMES)._trackable_children()

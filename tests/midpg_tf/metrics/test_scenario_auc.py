import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from midpg_tf.metrics import ScenarioAUC

NAMES = ["common", "rare", "none"]


def test_agrees_with_scikit_learn(rows) -> None:
    metric = ScenarioAUC(NAMES)
    metric.update_state(rows.label, rows.score, rows.scenario)
    result = metric.result()
    np.testing.assert_allclose(
        result["auc"], roc_auc_score(rows.label, rows.score), atol=1e-3
    )
    expected = []
    for index, name in enumerate(NAMES[:2]):
        part = rows.where(rows.scenario == index)
        expected.append(roc_auc_score(part.label, part.score))
        np.testing.assert_allclose(result[f"auc/{name}"], expected[-1], atol=1e-3)
    counts = np.bincount(rows.scenario)[:2]
    # The scenario without positives has no AUC, and no say in the mean.
    assert np.isnan(result["auc/none"])
    np.testing.assert_allclose(
        result["gauc"], np.average(expected, weights=counts), atol=1e-3
    )


def test_weights_agree_with_scikit_learn(rows) -> None:
    metric = ScenarioAUC(NAMES)
    metric.update_state(rows.label, rows.score, rows.scenario, rows.weight)
    np.testing.assert_allclose(
        metric.result()["auc"],
        roc_auc_score(rows.label, rows.score, sample_weight=rows.weight),
        atol=1e-3,
    )


def test_tells_scores_of_one_in_a_million_apart() -> None:
    rng = np.random.default_rng(3)
    label = rng.random(20_000) < 0.02
    # Odds about e^-10 to e^-9, far below equal bins of probability.
    score = 1 / (1 + np.exp(10 - label - rng.normal(size=20_000)))
    metric = ScenarioAUC(["all"])
    metric.update_state(label, score, tf.zeros(20_000, tf.int64))
    expected = roc_auc_score(label, score)
    assert expected > 0.7
    np.testing.assert_allclose(metric.result()["auc"], expected, atol=2e-3)


def test_hand_computed() -> None:
    metric = ScenarioAUC(["a", "b"])
    # a: positives .8, .3; negatives .1, .5: 3 of 4 pairs won.
    # b: a tie counts half: 1 of 2 pairs lost, the other tied, so 1/4.
    metric.update_state(
        [1, 1, 0, 0, 1, 0, 0],
        [0.8, 0.3, 0.1, 0.5, 0.4, 0.4, 0.9],
        tf.constant([0, 0, 0, 0, 1, 1, 1], tf.int64),
    )
    result = {name: float(value) for name, value in metric.result().items()}
    # All: .8 beats .1 .5 .4; .3 beats .1; .4 beats .1 and ties .4: 5.5 of 12 pairs.
    # GAUC: (4 * 3/4 + 3 * 1/4) / 7 = 3.75 / 7.
    assert result == pytest.approx(
        {"auc": 5.5 / 12, "auc/a": 0.75, "auc/b": 0.25, "gauc": 3.75 / 7}
    )


def test_scores_of_zero_and_one() -> None:
    metric = ScenarioAUC(["all"])
    metric.update_state([1, 1, 0, 0], [1.0, 0.5, 0.0, 0.5], tf.zeros(4, tf.int64))
    # 1 beats both, .5 beats 0 and ties .5.
    np.testing.assert_allclose(metric.result()["auc"], 3.5 / 4)


def test_accepts_columns_and_half_precision() -> None:
    metric = ScenarioAUC(["all"])
    metric.update_state(
        tf.constant([[1], [0]]),
        tf.constant([[0.75], [0.25]], tf.float16),
        tf.zeros(2, tf.int64),
        tf.ones((2, 1)),
    )
    assert float(metric.result()["auc"]) == 1


@pytest.mark.parametrize("label", [0, 1])
def test_nan_where_a_score_is(label) -> None:
    metric = ScenarioAUC(["a", "b"])
    metric.update_state(
        [1, 0, label, 1, 0],
        [0.8, 0.3, np.nan, 0.8, 0.3],
        tf.constant([0, 0, 0, 1, 1], tf.int64),
    )
    result = metric.result()
    assert np.isnan(result["auc"])
    assert np.isnan(result["auc/a"])
    assert result["auc/b"] == 1.0


def test_nan_without_rows() -> None:
    assert all(np.isnan(value) for value in ScenarioAUC(NAMES).result().values())


def test_more_bins_are_finer() -> None:
    label, score = [1, 0], [0.51, 0.5]
    for bins, expected in ((10, 0.5), (2000, 1.0)):
        metric = ScenarioAUC(["all"], bins=bins)
        metric.update_state(label, score, tf.zeros(2, tf.int64))
        assert float(metric.result()["auc/all"]) == expected
        # A hundredth apart, far wider than a bin of the figure over all rows.
        assert float(metric.result()["auc"]) == 1.0


def test_many_scenarios_get_fewer_bins_or_none() -> None:
    bins = [ScenarioAUC(["s"] * count).bins for count in (1, 200, 400, 2_000, 2_001)]
    assert bins == [500, 500, 250, 50, 0]


def test_scenarios_without_bins_cost_nothing(rows) -> None:
    some, many = ScenarioAUC(NAMES), ScenarioAUC(["s"] * 120_000)
    for metric in (some, many):
        metric.update_state(rows.label, rows.score, rows.scenario, rows.weight)
    assert many.result() == {"auc": some.result()["auc"]}
    # Two classes in 8,000 bins.
    assert sum(np.size(variable) for variable in many.variables) == 16_000
    again = ScenarioAUC.from_config(many.get_config())
    assert again.bins == 0
    # As many as one asks for.
    assert ScenarioAUC(["s"] * 2_001, bins=2).result().keys() == {"auc", "gauc"}


@pytest.mark.parametrize(("bins", "share"), [(50, 0.2), (500, 0.002)])
def test_ties_pull_towards_a_half(bins: int, share: float) -> None:
    rng = np.random.default_rng(3)
    logit = rng.normal(scale=0.3, size=400_000)
    score = 1 / (1 + np.exp(-logit))
    label = rng.random(len(score)) < score
    metric = ScenarioAUC(["all"], bins=bins)
    metric.update_state(label, score, tf.zeros(len(score), tf.int64))
    exact = roc_auc_score(label, score)
    taken = (exact - metric.result()["auc/all"]) / (exact - 0.5)
    np.testing.assert_allclose(taken, share, rtol=0.2, atol=2e-3)


def test_serialises(round_trip) -> None:
    metric = ScenarioAUC(NAMES, bins=50, name="roc")
    again = round_trip(metric)
    assert (again.bins, again.name) == (50, "roc")
    assert "groc" in again.result()

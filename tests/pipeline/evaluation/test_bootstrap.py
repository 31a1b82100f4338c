"""Intervals of figures, against known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from pipeline.evaluation.bootstrap import Interval, clusters_of, intervals, widening
from pipeline.evaluation.figures import auc, calibration, log_loss, remembering


def bootstrap(figures, weights, clusters=None, *, seed=0, resamples=1000):
    clusters = np.arange(len(weights)) if clusters is None else clusters
    return intervals(
        figures, weights, clusters, confidence=0.95, resamples=resamples, seed=seed
    )


def width(interval):
    return interval.high - interval.low


def test_an_interval_is_widened_on_each_side():
    wide = Interval(value=0.5, low=0.25, high=0.625).widened(2)
    assert wide == Interval(value=0.5, low=0.0, high=0.75)
    assert Interval(value=0.1, low=0.2, high=0.3).widened(2).low == 0.2
    np.testing.assert_equal(
        Interval(value=np.nan, low=np.nan, high=np.nan).widened(2).model_dump(),
        {"value": np.nan, "low": np.nan, "high": np.nan},
    )


@pytest.mark.parametrize(
    ("comparisons", "factor"),
    # Quantiles of the normal distribution at 1 - 0.025 / k, over 1.959964.
    [(1, 1.0), (2, 2.241403 / 1.959964), (64, 3.359354 / 1.959964)],
)
def test_widening_for_intervals_together(comparisons, factor):
    assert widening(0.95, np.inf, comparisons) == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize(
    ("comparisons", "quantile"),
    # Student's with 19 degrees of freedom at 0.975, and at 1 - 0.025 / 50.
    [(1, 2.093024), (50, 3.883406)],
)
def test_few_observations_widen_more_far_from_the_middle(comparisons, quantile):
    assert widening(0.95, 20, comparisons) == pytest.approx(
        quantile / 1.959964, rel=1e-6
    )


def test_the_value_is_that_of_the_rows_themselves():
    labels = np.array([0, 1, 0, 1, 1, 0])
    scores = np.array([0.2, 0.3, 0.6, 0.8, 0.5, 0.1])
    weights = np.array([1.0, 2.0, 0.5, 1.0, 1.0, 3.0])
    found = bootstrap({"auc": auc(labels, scores)}, weights)["auc"]
    assert found.value == pytest.approx(
        metrics.roc_auc_score(labels, scores, sample_weight=weights), rel=1e-12
    )
    assert found.low < found.value < found.high


def test_the_interval_of_a_mean_is_the_one_that_theory_gives():
    rng = np.random.default_rng(1)
    values = rng.normal(3.0, 2.0, size=500)
    mean = {"mean": lambda w: w @ values / w.sum(axis=1)}
    found = bootstrap(mean, np.ones(500), resamples=20_000)["mean"]
    error = values.std() / np.sqrt(500)
    expected = stats.norm.interval(0.95, loc=values.mean(), scale=error)
    np.testing.assert_allclose(
        [found.low, found.high], expected, rtol=0, atol=0.04 * error
    )


def test_rows_count_by_their_weights_in_every_resample():
    values = np.concatenate([np.zeros(300), np.linspace(9.5, 10.5, 100)])
    weights = np.concatenate([np.zeros(300), np.ones(100)])
    found = bootstrap({"mean": lambda w: w @ values / w.sum(axis=1)}, weights)["mean"]
    assert found.value == pytest.approx(10)
    assert 9.9 < found.low < found.value < found.high < 10.1


def test_intervals_cover_the_truth_as_often_as_they_say():
    # Scores of positives are N(1, 1), of negatives N(0, 1): the AUC is Phi(1/sqrt 2).
    truth = stats.norm.cdf(1 / np.sqrt(2))
    rng = np.random.default_rng(7)
    covered = 0
    for repetition in range(400):
        labels = (rng.random(120) < 0.4).astype(float)
        scores = rng.normal(labels)
        found = bootstrap(
            {"auc": auc(labels, scores)}, np.ones(120), seed=repetition, resamples=200
        )["auc"]
        covered += found.low <= truth <= found.high
    # 95 % of 400 are 380; four standard deviations of the count are 17.
    assert 363 <= covered <= 397


def test_a_paired_difference_is_narrower_than_an_unpaired_one():
    rng = np.random.default_rng(2)
    labels = rng.integers(2, size=400)
    ours = rng.normal(labels)
    theirs = ours + 0.1 * rng.normal(size=400)  # nearly the same model
    first, second = auc(labels, ours), auc(labels, theirs)
    found = bootstrap(
        {"ours": first, "theirs": second, "gain": lambda w: first(w) - second(w)},
        np.ones(400),
    )
    unpaired = np.hypot(width(found["ours"]), width(found["theirs"]))
    assert width(found["gain"]) < unpaired / 4
    assert found["gain"].value == pytest.approx(
        found["ours"].value - found["theirs"].value, rel=1e-12
    )


def test_rows_of_a_customer_that_agree_are_no_independent_evidence():
    # 20 rows each of 40 customers, whose rows are all alike: 40 observations, not 800.
    rng = np.random.default_rng(3)
    customer = np.repeat(np.arange(40), 20)
    values = rng.normal(size=40)[customer]
    mean = {"mean": lambda w: w @ values / w.sum(axis=1)}
    rows = bootstrap(mean, np.ones(800))["mean"]
    names = np.array([f"customer {i}".encode() for i in customer], object)
    customers = bootstrap(mean, np.ones(800), names)["mean"]
    assert width(customers) / width(rows) == pytest.approx(np.sqrt(20), rel=0.15)
    assert customers.value == rows.value


def test_guests_are_no_single_customer():
    # Half of the rows have no customer, and a mean of 1, the others one of 0.
    values = np.repeat([1.0, 0.0], 100)
    customers = np.array([""] * 100 + [f"c{i}" for i in range(100)], object)
    mean = {"mean": lambda w: w @ values / w.sum(axis=1)}
    clusters = clusters_of(customers, customers == "")
    interval = bootstrap(mean, np.ones(200), clusters)["mean"]
    # Of 200 draws, the share of ones has a deviation of sqrt(1 / 4 / 200) = 0.035.
    assert width(interval) == pytest.approx(2 * 1.96 * 0.035, rel=0.15)
    assert bootstrap(mean, np.ones(200), customers)["mean"].low == 0


def test_a_figure_of_others_is_theirs_of_the_same_resamples():
    calls = []

    def figure(weights):
        calls.append(len(weights))
        return weights.mean(axis=1)

    mean = remembering(figure)
    both = {"mean": mean, "twice": lambda w: mean(w) + mean(w)}
    found = bootstrap(both, np.arange(5.0), resamples=100)
    assert found["twice"].high == 2 * found["mean"].high
    # All resamples once; the rows themselves are another matter.
    assert calls.count(100) == 1


def test_a_seed_gives_the_same_interval_however_many_figures_there_are():
    labels = np.array([0, 1] * 50)
    figure = auc(labels, np.random.default_rng(4).normal(labels))
    alone = bootstrap({"auc": figure}, np.ones(100))["auc"]
    other = calibration(labels, np.full(100, 0.5))
    beside = bootstrap({"other": other, "auc": figure}, np.ones(100))["auc"]
    assert alone == beside
    assert alone != bootstrap({"auc": figure}, np.ones(100), seed=1)["auc"]


def test_resamples_are_drawn_in_parts_that_fit_in_memory(monkeypatch):
    monkeypatch.setattr("pipeline.evaluation.bootstrap._CHUNK", 350)
    sizes = []

    def figure(weights):
        sizes.append(len(weights))
        return weights.mean(axis=1)

    bootstrap({"mean": figure}, np.ones(100), resamples=10)
    assert sizes == [3, 3, 3, 1, 1]  # and the rows themselves


def test_one_class_has_no_auc_but_a_log_loss():
    labels, scores = np.zeros(30), np.linspace(0.1, 0.4, 30)
    figures = {"auc": auc(labels, scores), "log_loss": log_loss(labels, scores)}
    found = bootstrap(figures, np.ones(30))
    assert np.isnan([found["auc"].value, found["auc"].low, found["auc"].high]).all()
    assert found["log_loss"].low < found["log_loss"].value < found["log_loss"].high


def test_resamples_without_a_class_are_left_out():
    # Some 35 % of the resamples miss the only positive row.
    labels, scores = np.array([1] + [0] * 20), np.linspace(0.9, 0.1, 21)
    found = bootstrap({"auc": auc(labels, scores)}, np.ones(21))["auc"]
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_an_interval_reads_well():
    assert str(Interval(value=0.5, low=-0.01234, high=1)) == "0.5000 [-0.0123, 1.0000]"

"""Figures overall and by scenario, against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from pipeline.evaluation.figures import Figures, auc, calibration, figures, log_loss
from pipeline.evaluation.rows import SplitRows


def test_auc_by_hand():
    # Pairs (positive, negative): .4 > .1, .4 = .4, .7 > .1, .7 > .4: 3.5 of 4.
    figure = auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.7]))
    # The second row of weights counts the tie three times: 1 + 1.5 + 1 + 3 of 8.
    weights = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 3.0, 1.0, 1.0]])
    np.testing.assert_allclose(figure(weights), [3.5 / 4, 6.5 / 8], rtol=1e-15)


@pytest.mark.parametrize("positives", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("distinct", [3, 20, 10**9])
def test_auc_is_that_of_scikit_learn(distinct, positives):
    rng = np.random.default_rng(distinct)
    labels = (rng.random(300) < positives).astype(np.float32)
    scores = (rng.integers(distinct, size=300) / distinct).astype(np.float32)
    weights = rng.integers(4, size=(5, 300)) * rng.random(300)
    expected = [
        metrics.roc_auc_score(labels, scores, sample_weight=row) for row in weights
    ]
    np.testing.assert_allclose(auc(labels, scores)(weights), expected, rtol=1e-12)


def test_auc_of_one_class_is_not_a_number():
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    found = auc(np.array([1, 1, 0]), np.array([0.2, 0.3, 0.1]))(weights)
    np.testing.assert_array_equal(found, [np.nan, 1.0])


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_auc_of_a_score_that_is_no_number_is_none(score):
    figure = auc(np.array([1, 0, 0]), np.array([score, 0.3, 0.1]))
    np.testing.assert_array_equal(figure(np.ones((2, 3))), [np.nan, np.nan])


def test_log_loss_by_hand():
    figure = log_loss(np.array([1, 0, 1]), np.array([0.5, 0.75, 0.2]))
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 2.0, 5.0]])
    log2, log5 = np.log(2), np.log(5)  # -log .5, -log .25 and -log .2
    expected = [(log2 + 2 * log2) / 2, (log2 + 2 * 2 * log2 + 5 * log5) / 8]
    np.testing.assert_allclose(figure(weights), expected, rtol=1e-15)


def test_log_loss_of_a_certain_mistake_is_finite():
    (found,) = log_loss(np.array([1, 0]), np.array([0.0, 1.0]))(np.ones((1, 2)))
    assert found == pytest.approx(-np.log(1e-7), rel=1e-6)


def test_calibration_by_hand():
    figure = calibration(np.array([1, 0, 1]), np.array([0.5, 0.25, 0.75]))
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 4.0, 0.0], [0.0, 1.0, 0.0]])
    # 1.5 predicted, 2 observed; 2 and 2; .25 and none.
    np.testing.assert_array_equal(figure(weights), [0.75, 1.0, np.inf])


def make_rows(labels, scenarios, weights=None):
    return SplitRows(
        np.array(labels, np.float32),
        np.array(weights or [1] * len(labels), np.float32),
        np.array(scenarios),
        np.arange(len(labels)),
    )


ROWS = make_rows([1, 0, 1, 0, 0, 1, 0, 0], ["b"] * 2 + ["a"] * 4 + ["c"] * 2)
SCORES = np.array([0.6, 0.4, 0.5, 0.2, 0.5, 0.1, 0.3, 0.9])


def test_figures_of_each_scenario():
    overall, a, b, c = figures(ROWS, SCORES)
    assert [one.scenario for one in (overall, a, b, c)] == [None, "a", "b", "c"]
    assert [one.rows for one in (overall, a, b, c)] == [8, 4, 2, 2]
    # a: positives .5 and .1 against .2 and .5: one pair is won, one is a tie.
    assert a.auc == pytest.approx(1.5 / 4)
    assert b.auc == 1
    assert c.auc is None  # no positive row
    # Positives .6, .5, .1 against .4, .2, .5, .3, .9: 4, 3.5 and 0 of 5.
    assert overall.auc == pytest.approx(7.5 / 15)
    # By rows, over the scenarios that have an AUC.
    assert overall.gauc == pytest.approx((4 * 1.5 / 4 + 2 * 1) / 6)
    assert a.gauc == a.auc
    assert b.logloss == pytest.approx(-math.log(0.6))
    assert a.calibration == pytest.approx(1.3 / 2)
    assert overall.calibration == pytest.approx(3.5 / 3)
    assert c.calibration is None


def test_weights_count_rows_several_times():
    weighted = make_rows([1, 0, 0, 1, 0], ["a", "a", "a", "b", "b"], [2, 1, 3, 1, 1])
    repeated = make_rows([1, 1, 0, 0, 0, 0, 1, 0], ["a"] * 6 + ["b"] * 2)
    scores = np.array([0.5, 0.2, 0.7, 0.4, 0.6])
    found = figures(weighted, scores)
    expected = figures(repeated, scores[[0, 0, 1, 2, 2, 2, 3, 4]])
    for one, other in zip(found, expected, strict=True):
        assert one.auc == pytest.approx(other.auc)
        assert one.gauc == pytest.approx(other.gauc)
        assert one.logloss == pytest.approx(other.logloss)
        assert one.calibration == pytest.approx(other.calibration)
    assert [one.rows for one in found] == [5, 3, 2]


def test_figures_of_scores_that_are_no_numbers_can_be_kept():
    scores = np.where(ROWS.scenarios == "b", np.nan, SCORES)
    found = figures(ROWS, scores)
    overall, a, b, _ = found
    assert a.logloss is not None
    for one in (overall, b):
        assert one.auc is None
        assert one.logloss is None
        assert one.calibration is None
    for one in found:
        assert Figures.model_validate_json(one.model_dump_json()) == one

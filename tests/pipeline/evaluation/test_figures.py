"""Figures overall and by scenario, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.evaluation.figures import Figures, figures
from pipeline.evaluation.rows import SplitRows


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
        assert one.logloss is None
        assert one.calibration is None
    for one in found:
        assert Figures.model_validate_json(one.model_dump_json()) == one

"""A benchmark's intervals, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.benchmark.statistics import (
    Gains,
    bootstrap_gains,
    t_gains,
    t_interval,
    with_both_errors,
)
from pipeline.evaluation.bootstrap import Interval, verdict
from pipeline.evaluation.figures import Figures, figures
from pipeline.evaluation.rows import SplitRows


def test_t_interval():
    # Mean 2, standard deviation 1, and Student's 4.302653 for 2 degrees of freedom.
    found = t_interval([1, 2, 3], 0.95, overlap=0)
    half = 4.302653 / math.sqrt(3)
    assert found.value == 2
    assert found.low == pytest.approx(2 - half, abs=1e-5)
    assert found.high == pytest.approx(2 + half, abs=1e-5)


def test_t_interval_of_seeds_that_draw_from_the_same_rows():
    # Of 8:1:1, the mean's variance is 1 / 3 + 1 / 8 of the values'.
    found = t_interval([1, 2, 3], 0.95, overlap=1 / 8)
    assert found.high == pytest.approx(2 + 4.302653 * math.sqrt(11 / 24), abs=1e-5)


def test_a_single_value_has_no_interval():
    found = t_interval([0.5], 0.95, overlap=0)
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(t_interval([], 0.95, overlap=0).value)


def one(auc, logloss):
    return Figures(
        scenario=None, rows=9, auc=auc, gauc=auc, logloss=logloss, calibration=1
    )


def test_gains_are_paired_by_seed():
    pairs = [
        (one(0.70, 0.50), one(0.69, 0.53)),
        (one(0.80, 0.40), one(0.79, 0.43)),
        (one(None, 0.60), one(0.79, 0.63)),
        (one(0.80, None), one(0.79, 0.63)),
        (one(0.80, 0.60), one(0.79, None)),
    ]
    gains = t_gains(pairs, 0.95, overlap=0)
    # The models differ alike with each seed, however much the seeds do.
    assert gains.auc.value == pytest.approx(0.01)
    assert gains.auc.low == pytest.approx(0.01)
    assert gains.logloss.value == pytest.approx(0.03)
    assert gains.logloss.high == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.003, "gains"),
        (-0.003, -0.001, "loses"),
        (-0.001, 0.003, "cannot tell"),
        (math.nan, math.nan, "cannot tell"),
    ],
)
def test_verdict(low, high, expected):
    gain = Interval(value=0.002, low=low, high=high)
    assert verdict(gain, enough=True) == expected
    assert verdict(gain, enough=False) == "too few"


def make_rows(labels):
    count = len(labels)
    return SplitRows(
        np.array(labels, np.float32),
        np.ones(count, np.float32),
        np.full(count, "a"),
        np.arange(count),
    )


def test_bootstrap_gains_of_one_seed():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=2000)
    rows = make_rows(labels)
    good = np.clip(0.5 + 0.2 * (labels - 0.5) + rng.normal(0, 0.1, 2000), 0.01, 0.99)
    poor = np.clip(0.5 + rng.normal(0, 0.1, 2000), 0.01, 0.99)
    settings = {"confidence": 0.95, "resamples": 200, "seed": 1}
    gains = bootstrap_gains(rows, [good], [poor], **settings)
    own, other = figures(rows, good)[0], figures(rows, poor)[0]
    assert gains.auc.value == pytest.approx(own.auc - other.auc)
    assert gains.logloss.value == pytest.approx(other.logloss - own.logloss)
    assert gains.auc.low > 0.2
    assert gains.logloss.low > 0
    same = bootstrap_gains(rows, [good], [good], **settings)
    assert same.auc == Interval(value=0, low=0, high=0)
    half = bootstrap_gains(rows, [good, poor], [poor, poor], **settings)
    assert half.auc.value == pytest.approx(gains.auc.value / 2)
    assert half.auc.low == pytest.approx(gains.auc.low / 2)


def test_two_errors_add_up_as_their_squares():
    narrow = Interval(value=0.01, low=0.007, high=0.014)
    wide = Interval(value=0.01, low=0.006, high=0.013)
    found = with_both_errors(Gains(narrow, wide), Gains(wide, narrow))
    for interval in found:
        assert interval.low == pytest.approx(0.005)
        assert interval.high == pytest.approx(0.015)
    unknown = Interval(value=0.01, low=math.nan, high=math.nan)
    assert math.isnan(
        with_both_errors(Gains(narrow, wide), Gains(unknown, wide))[0].low
    )


@pytest.mark.slow
def test_luck_with_rows_that_seeds_share_is_no_gain():
    rng = np.random.default_rng(5)
    told = {"seeds": 0, "both": 0}
    for _ in range(200):
        labels = rng.integers(2, size=1000)
        rows = make_rows(labels)
        # Two models that are as good, and whose seeds hardly differ.
        one, other = (
            [mean + rng.normal(0, 0.1, 1000) for _ in range(3)]
            for mean in (labels + rng.normal(0, 2, 1000) for _ in range(2))
        )
        one, other = ([1 / (1 + np.exp(-s)) for s in scores] for scores in (one, other))
        pairs = [
            (figures(rows, a)[0], figures(rows, b)[0])
            for a, b in zip(one, other, strict=True)
        ]
        seeds = t_gains(pairs, 0.95, overlap=0)
        resampled = bootstrap_gains(
            rows, one, other, confidence=0.95, resamples=200, seed=0
        )
        both = with_both_errors(seeds, resampled)
        assert both.auc.value == pytest.approx(resampled.auc.value)
        told["seeds"] += verdict(seeds.auc, enough=True) != "cannot tell"
        told["both"] += verdict(both.auc, enough=True) != "cannot tell"
    assert told["seeds"] > 80
    assert told["both"] <= 20

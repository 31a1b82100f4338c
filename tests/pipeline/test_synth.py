"""Synthetic rows: their truth is true, and scenarios differ as much as asked."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from midpg_tf.spec import DatasetSpec
from pipeline.cli import main
from pipeline.synth import TRUTH, Synthetic, read_truth, shares, truth, write

SMALL = Synthetic(scenarios=4, rows=20_000, seed=3)


@pytest.fixture(scope="module")
def rows():
    return SMALL.draw()


def pairs_won(labels, scores):
    """The AUC by its definition, over all pairs."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    difference = positive[:, np.newaxis] - negative
    return (difference > 0).mean() + (difference == 0).mean() / 2


def test_the_truth_is_what_the_probabilities_reach(rows):
    overall, *scenarios = truth(rows)["test"]
    test = rows[rows["split"] == "test"]
    labels, p = test["clicked"].to_numpy(), test[TRUTH].to_numpy()
    assert overall.rows == len(test)
    assert overall.auc == pytest.approx(pairs_won(labels, p), abs=1e-9)
    expected = -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean()
    assert overall.logloss == pytest.approx(expected, abs=1e-6)
    names = test["channel"] + "/" + test["region"]
    assert [one.scenario for one in scenarios] == sorted(names.unique())
    own = (names == scenarios[2].scenario).to_numpy()
    assert scenarios[2].auc == pytest.approx(pairs_won(labels[own], p[own]), abs=1e-9)


def test_labels_follow_the_probabilities(rows):
    for _, part in rows.groupby(pd.cut(rows[TRUTH], 10), observed=True):
        error = math.sqrt(part[TRUTH].mean() * (1 - part[TRUTH].mean()) / len(part))
        assert abs(part["clicked"].mean() - part[TRUTH].mean()) < 4 * error


def test_the_probability_is_a_function_of_the_features(rows):
    same = Synthetic(scenarios=4, rows=20_000, seed=3).draw()
    pd.testing.assert_frame_equal(rows, same)
    other = dataclasses.replace(SMALL, seed=4).draw()
    assert (other[TRUTH] != rows[TRUTH]).mean() > 0.99


def test_log_odds_are_around_the_intercept():
    for seed in range(5):
        p = Synthetic(rows=20_000, seed=seed).draw()[TRUTH]
        log_odds = np.log(p / (1 - p))
        # Of two traits of one feature, a product has no mean of exactly zero.
        assert -1 < log_odds.mean() < 0
        assert 1.4 < log_odds.std() < 1.9


@pytest.mark.parametrize("difference", [0.0, 0.5, 2.0])
def test_the_best_auc_is_neither_trivial_nor_perfect(difference):
    rows = Synthetic(16, 50_000, difference, 0.0, seed=1).draw()
    assert 0.75 < truth(rows)["train"][0].auc < 0.85


def world(synthetic):
    """Log odds of the same rows in each scenario: `(scenarios, rows)`."""
    _, weights = synthetic._draw_world(np.random.default_rng(synthetic.seed))
    phi = np.random.default_rng(5).standard_normal((1000, weights.shape[1]))
    return weights @ phi.T


def test_without_difference_scenarios_do_not_differ():
    logits = world(dataclasses.replace(SMALL, difference=0.0))
    np.testing.assert_array_equal(logits, np.broadcast_to(logits[:1], logits.shape))


@pytest.mark.parametrize("difference", [0.5, 1.0, 2.0])
def test_difference_is_the_ratio_of_the_two_parts(difference):
    logits = world(dataclasses.replace(SMALL, scenarios=16, difference=difference))
    shared = logits.mean(axis=0)
    # The scenarios' own parts have a mean of zero.
    assert np.std(logits - shared) / np.std(shared) == pytest.approx(
        difference, rel=0.1
    )


def test_shares_fall_with_the_rank_and_one_scenario_has_a_hundredth():
    np.testing.assert_allclose(
        shares(Synthetic(scenarios=4, skew=1.0)), [0.54, 0.27, 0.18, 0.01]
    )
    many = shares(Synthetic(scenarios=64, skew=1.0))
    assert many.sum() == pytest.approx(1)
    assert 0.01 in many
    assert (np.diff(many) <= 0).all()
    np.testing.assert_allclose(shares(Synthetic(scenarios=5, skew=0.0)), 0.2)


@pytest.mark.parametrize("skew", [0, 1])
def test_a_skew_may_be_a_whole_number(skew):
    whole, real = (shares(Synthetic(skew=number)) for number in (skew, float(skew)))
    np.testing.assert_array_equal(whole, real)


@pytest.mark.parametrize("scenarios", [2, 5, 16, 64])
def test_two_fields_make_the_scenario(scenarios):
    rows = Synthetic(scenarios, 20_000, 1.0, 0.0).draw()
    counts = rows.groupby(["channel", "region"]).size()
    assert len(counts) == scenarios
    assert counts.to_numpy() / len(rows) == pytest.approx(1 / scenarios, rel=0.3)
    channels = math.ceil(math.sqrt(scenarios))
    assert rows["channel"].nunique() == channels
    assert rows["region"].nunique() == math.ceil(scenarios / channels)


def test_the_rare_scenario_in_the_rows(rows):
    counts = rows.groupby(["channel", "region"]).size()
    assert counts.min() == pytest.approx(200, abs=60)


def test_the_files(tmp_path, capfd):
    options = ["--scenarios=4", "--rows=2000", "--seed=3"]
    with pytest.raises(SystemExit) as ended:
        main(["data", "synth", *options, f"--output={tmp_path / 'new'}"])
    assert ended.value.code == 0
    spec = DatasetSpec.load(tmp_path / "new" / "synth.yaml")
    rows = pd.read_csv(spec.data.path)
    assert TRUTH in rows
    assert TRUTH not in spec.features
    assert set(spec.features) < set(rows)
    best = read_truth(tmp_path / "new" / "truth.json")
    # As computed from the file's own rows.
    for split, slices in truth(rows).items():
        for one, other in zip(best[split], slices, strict=True):
            assert one.auc == pytest.approx(other.auc)
            assert one.logloss == pytest.approx(other.logloss)
    out = capfd.readouterr().out
    assert out.startswith("2,000 rows in ")
    assert f"at best, test AUC {best['test'][0].auc:.4f}" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"scenarios": 1}, "expected 2 to 256 scenarios, found 1"),
        ({"rows": 0}, "expected at least one row, found 0"),
        ({"skew": -1.0}, "found 1 and -1"),
    ],
)
def test_bad_arguments(arguments, told):
    with pytest.raises(ValueError, match=told):
        Synthetic(**arguments)


def test_write_gives_the_truth(tmp_path):
    assert write(SMALL, tmp_path) == read_truth(tmp_path / "truth.json")

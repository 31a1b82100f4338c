"""What each gate refuses, what it lets pass, and what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from midpg_tf.spec import OVERALL
from midpg_tf.spec.gates import Gates
from pipeline.evaluation.bootstrap import Interval, widening
from pipeline.evaluation.gates import (
    BASELINE,
    CANDIDATE,
    PRODUCTION,
    GateReport,
    ModelFigures,
    Slice,
    can_be_compared,
    effective_numbers,
    judge,
)
from pipeline.evaluation.rows import SplitRows

OPEN = {
    "auc": {"min": 0, "min_gain": -1},
    "per_scenario": {
        "min_rows": 100,
        "min_conversions": 5,
        "min_auc": 0,
        "max_loss": 1,
    },
    "log_loss": {"max_increase": 100},
    "calibration": {"max_error": 100},
    "resamples": 200,
}
"""Bounds that refuse nothing; each test closes one of them."""

ROWS = 1200
NAMES = np.array(["app"] * 600 + ["mail"] * 400 + ["web"] * 200)
LABELS = (np.random.default_rng(0).random(ROWS) < 0.4).astype(np.float32)


def gates(**sections):
    content = dict(OPEN)
    for name, section in sections.items():
        is_section = isinstance(section, dict)
        content[name] = OPEN[name] | section if is_section else section
    return Gates.model_validate(content)


def model(seed, skill=1.0, broken=(), scale=1.0):
    """Scores of known skill, with a calibration of about `scale`.

    In the scenarios of `broken` they are those of other rows.
    """
    rng = np.random.default_rng(seed)
    # Evidence of N(skill, 1) for positives and N(0, 1) for negatives, by Bayes' rule.
    logits = skill * rng.normal(skill * LABELS) - skill**2 / 2 + np.log(0.4 / 0.6)
    scores = scale / (1 + np.exp(-logits))
    for name in broken:
        rows = np.flatnonzero(name == NAMES)
        scores[rows] = scores[rng.permutation(rows)]
    return scores.astype(np.float32)


def run(bounds, candidate, baseline=None, production=None, weights=None, clusters=None):
    scores = {
        CANDIDATE: candidate,
        BASELINE: model(1) if baseline is None else baseline,
    }
    if production is not None:
        scores[PRODUCTION] = production
    rows = SplitRows(
        LABELS,
        np.ones(ROWS) if weights is None else weights,
        NAMES,
        np.arange(ROWS) if clusters is None else clusters,
    )
    return judge(bounds, rows, scores, seed=5)


def fewer(name):
    """Number of rows of the class that has fewer in a scenario."""
    positives = int(LABELS[name == NAMES].sum())
    return min(positives, (name == NAMES).sum() - positives)


def by_name(report):
    return {one.name: one for one in report.slices}


def test_figures_are_those_of_the_rows_of_each_slice():
    candidate = model(0)
    report = run(gates(), candidate)
    assert [one.name for one in report.slices] == [OVERALL, "app", "mail", "web"]
    assert [one.rows for one in report.slices] == [1200, 600, 400, 200]
    mail, rows = by_name(report)["mail"], NAMES == "mail"
    assert mail.positives == LABELS[rows].sum()
    assert mail.models[CANDIDATE].auc.value == pytest.approx(
        metrics.roc_auc_score(LABELS[rows], candidate[rows]), rel=1e-9
    )
    assert mail.models[CANDIDATE].log_loss.value == pytest.approx(
        metrics.log_loss(LABELS[rows], candidate[rows].astype(float)), rel=1e-6
    )
    assert mail.models[CANDIDATE].calibration.value == pytest.approx(
        candidate[rows].mean() / LABELS[rows].mean(), rel=1e-5
    )
    assert mail.gains[BASELINE].value == pytest.approx(
        mail.models[CANDIDATE].auc.value - mail.models[BASELINE].auc.value, rel=1e-9
    )
    assert set(mail.models) == {CANDIDATE, BASELINE}
    assert report.blessed


@pytest.mark.parametrize(
    ("section", "key", "figure", "loosest"),
    [
        ("auc", "min", lambda one: one.models[CANDIDATE].auc, 0.0),
        ("auc", "min_gain", lambda one: one.gains[BASELINE], -1.0),
    ],
)
def test_only_a_whole_interval_below_the_bound_is_refused(
    section, key, figure, loosest
):
    interval = figure(run(gates(), model(0)).slices[0])
    assert interval.low < interval.value < interval.high
    for bound in (loosest, interval.low, interval.value, interval.high - 1e-6):
        assert run(gates(**{section: {key: bound}}), model(0)).blessed
    report = run(gates(**{section: {key: interval.high + 1e-6}}), model(0))
    assert [refusal.gate for refusal in report.refusals] == [f"{section}.{key}"]
    assert not report.blessed


def increase(one):
    found = one.increases[BASELINE]
    return [found.low, found.value, found.high]


def calibration_error(one):
    found = one.models[CANDIDATE].calibration
    return sorted(abs(ratio - 1) for ratio in (found.low, found.value, found.high))


@pytest.mark.parametrize(
    ("section", "key", "figure", "scale"),
    [
        ("log_loss", "max_increase", increase, 0.5),
        ("calibration", "max_error", calibration_error, 0.5),
        ("calibration", "max_error", calibration_error, 1.5),
    ],
)
def test_only_a_whole_interval_above_the_bound_is_refused(section, key, figure, scale):
    def close(bound):
        closed = {section: {key: bound}, "per_scenario": {"min_rows": ROWS + 1}}
        return run(gates(**closed), candidate)

    candidate = model(0, scale=scale)
    least, value, most = figure(run(gates(), candidate).slices[0])
    assert 0 < least < value < most
    for bound in (most, value, least + 1e-6):
        assert close(bound).blessed
    (refusal,) = close(least - 1e-6).refusals
    assert refusal.gate == f"{section}.{key}"


def test_least_auc():
    (refusal,) = run(gates(auc={"min": 0.95}), model(0)).refusals
    assert (refusal.gate, refusal.slice) == ("auc.min", OVERALL)
    assert str(refusal) == (
        f"gate auc.min, overall: AUC is {refusal.found}, expected at least 0.95"
    )
    assert 0.7 < refusal.found.low < refusal.found.high < 0.8


@pytest.mark.parametrize("reference", [BASELINE, PRODUCTION])
def test_least_gain_over_each_other_model(reference):
    weak, strong = model(0, skill=0.1), model(2, skill=2)
    others = {BASELINE: weak, PRODUCTION: weak} | {reference: strong}
    report = run(gates(auc={"min_gain": -0.01}), weak, **others)
    (refusal,) = report.refusals
    assert str(refusal).startswith(
        f"gate auc.min_gain, overall: gain in AUC over {reference} is -0."
    )
    assert str(refusal).endswith("], expected at least -0.01")


@pytest.mark.parametrize("reference", [BASELINE, PRODUCTION])
def test_a_scenario_that_loses_is_refused_by_name(reference):
    others = {BASELINE: model(1), PRODUCTION: model(1)}
    others[{BASELINE: PRODUCTION, PRODUCTION: BASELINE}[reference]] = model(
        1, broken=["mail"]
    )
    report = run(
        gates(auc={"min": 0.6}, per_scenario={"max_loss": 0.05}),
        model(0, broken=["mail"]),
        **others,
    )
    # The overall AUC passes: the scenario is a third of the rows.
    assert report.slices[0].models[CANDIDATE].auc.value > 0.65
    (refusal,) = report.refusals
    assert str(refusal).startswith(
        f"gate per_scenario.max_loss, scenario mail: gain in AUC over {reference} is -"
    )
    assert str(refusal).endswith("] widened for 3 scenarios, expected at least -0.05")


def test_least_auc_of_a_scenario():
    report = run(gates(per_scenario={"min_auc": 0.6}), model(0, broken=["app"]))
    (refusal,) = report.refusals
    assert str(refusal) == (
        f"gate per_scenario.min_auc, scenario app: AUC is {refusal.found} widened for 3"
        " scenarios, expected at least 0.6"
    )
    plain = by_name(report)["app"].models[CANDIDATE].auc
    assert refusal.found == plain.widened(widening(0.95, fewer("app"), 3))


@pytest.mark.parametrize(("min_rows", "is_refused"), [(500, True), (100, False)])
def test_the_only_judged_scenario_is_refused_by_its_own_interval(min_rows, is_refused):
    candidate = model(0, broken=["app"])
    plain = by_name(run(gates(), candidate))["app"].gains[BASELINE]
    own = plain.widened(widening(0.95, fewer("app")))
    # Between the ends of its own interval and of one widened for three scenarios.
    bounds = {"min_rows": min_rows, "max_loss": -own.high - 1e-6}
    report = run(gates(per_scenario=bounds), candidate)
    assert by_name(report)["app"].verdict(BASELINE) == "loses"
    assert [refusal.slice for refusal in report.refusals] == ["app"] * is_refused
    assert all(refusal.found == own for refusal in report.refusals)
    assert all("widened" not in str(refusal) for refusal in report.refusals)


def test_many_scenarios_are_judged_together():
    # Equally good models, of which one is broken in one scenario.
    scenarios, size = 64, 100
    rng = np.random.default_rng(3)
    labels = (rng.random(scenarios * size) < 0.5).astype(np.float32)
    names = np.repeat([f"s{number:02}" for number in range(scenarios)], size)
    candidate, baseline = (
        1 / (1 + np.exp(-rng.normal(2 * labels - 1))) for _ in range(2)
    )
    candidate[:size] = 1 - candidate[:size]
    report = judge(
        gates(per_scenario={"min_rows": size, "max_loss": 0}),
        SplitRows(labels, np.ones(len(labels)), names, np.arange(len(labels))),
        {CANDIDATE: candidate, BASELINE: baseline},
        seed=5,
    )
    verdicts = [one.verdict(BASELINE) for one in report.slices[1:]]
    assert verdicts.count("loses") > 1
    (refusal,) = report.refusals
    assert (refusal.slice, refusal.comparisons) == ("s00", 64)
    plain = report.slices[1].gains[BASELINE]
    # Student's quantile at 1 - 0.025 / 64, for the class that has fewer rows.
    assert min(labels[:size].sum(), size - labels[:size].sum()) == 47
    assert refusal.found.high - plain.value == pytest.approx(
        3.597859 / 1.959964 * (plain.high - plain.value), rel=1e-6
    )


def test_rows_of_no_weight_are_none_of_the_least():
    weights = np.ones(ROWS)
    weights[np.flatnonzero(NAMES == "web")[:1]] = 0
    assert by_name(run(gates(per_scenario={"min_rows": 200}), model(0)))["web"].judged
    report = run(gates(per_scenario={"min_rows": 200}), model(0), weights=weights)
    assert not by_name(report)["web"].judged


def test_scores_that_tell_rows_apart_by_nearly_nothing():
    def flattened():
        candidate = model(0)
        web = NAMES == "web"
        mean = LABELS[web].mean()
        candidate[web] = mean + (candidate[web] - candidate[web].mean()) * 0.01
        return candidate

    # Same order of rows, same sums: no other gate sees it.
    bounds = {"auc": {"min_gain": -0.05}, "calibration": {"max_error": 0.25}}
    assert run(gates(**bounds), flattened(), baseline=model(0)).blessed
    report = run(
        gates(**bounds, log_loss={"max_increase": 0.05}),
        flattened(),
        baseline=model(0),
    )
    (refusal,) = report.refusals
    web = LABELS[NAMES == "web"]
    increase = (
        metrics.log_loss(web, flattened()[NAMES == "web"].astype(float))
        / metrics.log_loss(web, model(0)[NAMES == "web"].astype(float))
        - 1
    )
    assert refusal.found.value == pytest.approx(increase, rel=1e-5)
    assert str(refusal) == (
        "gate log_loss.max_increase, scenario web: relative increase in log loss over"
        f" baseline is {refusal.found} widened for 3 scenarios, expected at most 0.05"
    )


@pytest.mark.parametrize(("scale", "passes"), [(0.5, False), (1, True), (1.5, False)])
def test_calibration(scale, passes):
    report = run(gates(calibration={"max_error": 0.25}), model(0, scale=scale))
    if passes:
        assert report.blessed
        return
    assert {refusal.gate for refusal in report.refusals} == {"calibration.max_error"}
    assert {refusal.slice for refusal in report.refusals} == {
        OVERALL,
        "app",
        "mail",
        "web",
    }
    assert str(report.refusals[0]) == (
        "gate calibration.max_error, overall: predicted / observed is"
        f" {report.refusals[0].found}, expected between 0.75 and 1.25"
    )


def test_a_refusal_for_calibration_tells_that_of_production():
    bounds = gates(calibration={"max_error": 0.25})
    report = run(bounds, model(0, scale=1.5), production=model(2, scale=1.8))
    assert {refusal.gate for refusal in report.refusals} == {"calibration.max_error"}
    overall, theirs = report.slices[0], report.refusals[0].production
    assert theirs == overall.models[PRODUCTION].calibration
    assert theirs != overall.models[CANDIDATE].calibration
    assert str(report.refusals[0]).endswith(
        f"expected between 0.75 and 1.25; production's is {theirs}"
    )


def test_calibration_of_both_models_is_as_wide():
    same = model(0, scale=1.8)
    report = run(gates(calibration={"max_error": 0.25}), same, production=same)
    found = {one.slice: one for one in report.refusals}
    assert set(found) == {OVERALL, "app", "mail", "web"}
    assert all(one.production == one.found for one in found.values())
    own = by_name(report)["app"].models[PRODUCTION].calibration
    assert found["app"].production.high > own.high


def test_calibration_of_one_scenario():
    candidate = model(0)
    candidate[NAMES == "web"] *= 0.5
    report = run(gates(calibration={"max_error": 0.25}), candidate)
    assert [(r.gate, r.slice) for r in report.refusals] == [
        ("calibration.max_error", "web")
    ]


@pytest.mark.parametrize("bound", ["min_rows", "min_conversions"])
def test_a_scenario_with_too_few_rows_is_reported_not_judged(bound):
    positives = int(LABELS[NAMES == "web"].sum())
    most = {"min_rows": 200, "min_conversions": positives}[bound]
    broken = model(0, broken=["web"])
    strict = {"min_auc": 0.65, "max_loss": 0.001}
    judged = run(gates(per_scenario=strict | {bound: most}), broken)
    assert {refusal.slice for refusal in judged.refusals} == {"web"}
    left_out = run(gates(per_scenario=strict | {bound: most + 1}), broken)
    assert left_out.blessed
    web = by_name(left_out)["web"]
    assert not web.judged
    assert web.verdict(BASELINE) == "too few"
    assert web.models == by_name(judged)["web"].models


@pytest.mark.parametrize(
    ("by", "least", "is_judged"),
    [("customer", 10, True), ("customer", 11, False), (None, 11, True)],
)
def test_a_scenario_of_too_few_customers_is_reported_not_judged(by, least, is_judged):
    # Each class of each scenario has rows of 10 customers, of the same weight each.
    customers = np.arange(ROWS) % 10
    weights = np.zeros(ROWS)
    for name in np.unique(NAMES):
        for label in (0, 1):
            for customer in range(10):
                own = (name == NAMES) & (label == LABELS) & (customers == customer)
                weights[own] = 1 / own.sum()
    bounds = gates(resample_by=by, per_scenario={"min_clusters": least})
    report = run(bounds, model(0), weights=weights, clusters=customers)
    assert [one.judged for one in report.slices] == [True] + [is_judged] * 3


@pytest.mark.parametrize(
    ("weights", "effective"),
    [
        ([0.1] * 30, 30),
        ([1, 1, 2, 0], 16 / 6),
        ([100, 100, 1e-6], 2),
    ],
)
@pytest.mark.parametrize("label", [0, 1])
def test_weights_count_by_their_effective_number(weights, effective, label):
    rows = len(weights)
    labels = np.array([label] * rows + [1 - label] * 100, np.float32)
    found = SplitRows(
        labels,
        np.array([*weights, *[1.0] * 100], np.float32),
        np.full(len(labels), "web"),
        np.arange(len(labels)),
    )
    least = {"min_conversions": math.floor(effective)}
    assert can_be_compared(gates(per_scenario=least), effective_numbers(found))
    least["min_conversions"] += 1
    assert not can_be_compared(gates(per_scenario=least), effective_numbers(found))


@pytest.mark.parametrize("label", [0, 1])
def test_customers_count_by_the_class_that_has_fewer(label):
    # 60 rows of 3 customers in one class, of which one has twice the rows, and some of
    # others, of no weight; 600 customers with a row each in the other class.
    customers = np.repeat(
        [0, 1, 2, *range(3, 33), *range(100, 700)], [30, 15, 15] + [1] * 630
    )
    labels = np.where(np.arange(690) < 90, label, 1 - label).astype(np.float32)
    weights = np.where((customers > 2) & (customers < 33), 0, 1)
    rows = SplitRows(labels, weights, np.full(690, "web"), customers)
    # 60^2 / (30^2 + 2 * 15^2) is 2.67.
    few, by = {"min_conversions": 60, "min_clusters": 2}, "customer"
    assert can_be_compared(
        gates(resample_by=by, per_scenario=few), effective_numbers(rows)
    )
    few["min_clusters"] = 3
    assert not can_be_compared(
        gates(resample_by=by, per_scenario=few), effective_numbers(rows)
    )
    assert can_be_compared(gates(per_scenario=few), effective_numbers(rows))


def test_of_one_conversion_nothing_can_be_told():
    labels = (np.arange(ROWS) % 600 == 0).astype(np.float32)
    rows = SplitRows(labels, np.ones(ROWS), np.arange(ROWS) // 600, np.arange(ROWS))
    least = gates(per_scenario={"min_conversions": 1})
    overall, *scenarios = judge(
        least, rows, {CANDIDATE: model(0), BASELINE: model(1)}, seed=5
    ).slices
    assert [one.positives for one in scenarios] == [1, 1]
    assert overall.judged
    assert not any(one.judged for one in scenarios)


def one_class(label, production, **bounds):
    """Refusals where the rows of mail all have one label."""
    labels = np.where(NAMES == "mail", label, LABELS).astype(np.float32)
    broken = model(0)
    # Trained on such labels, as the test rows have.
    broken[NAMES == "mail"] = 0.001 if label == 0 else 0.999
    scores = {CANDIDATE: broken, BASELINE: broken}
    if production is not None:
        scores[PRODUCTION] = production
    rows = SplitRows(labels, np.ones(ROWS), NAMES, np.arange(ROWS))
    report = judge(gates(per_scenario=bounds), rows, scores, seed=5)
    assert not by_name(report)["mail"].judged
    return report.refusals


@pytest.mark.parametrize("label", [0, 1])
def test_a_scenario_that_has_lost_a_class_is_refused(label):
    production = model(2)
    (refusal,) = one_class(label, production)
    assert (refusal.gate, refusal.slice) == ("per_scenario.min_conversions", "mail")
    assert refusal.figure == f"the number of rows with the label {1 - label}"
    scores = production[NAMES == "mail"]
    expected = (1 - scores if label else scores).sum()
    assert refusal.bound == (
        f"about {expected:.0f} of 400 by the scores of production; check the labels"
    )
    # The exact 95% limit of a count of none: exp(-x) is 2.5% there, for 3 scenarios.
    assert refusal.found.value == refusal.found.low == 0
    assert math.exp(-refusal.found.high) == pytest.approx(0.025 / 3)
    assert "widened for 3 scenarios" in str(refusal)


def lost(left, *, clusters=None, rate=0.4, **bounds):
    """Refusals where `left` conversions of mail's 400 rows are left."""
    labels = np.where(NAMES == "mail", 0, LABELS).astype(np.float32)
    labels[np.flatnonzero(NAMES == "mail")[:left]] = 1
    scores = np.where(NAMES == "mail", rate, 0.4).astype(np.float32)
    rows = SplitRows(
        labels, np.ones(ROWS), NAMES, np.arange(ROWS) if clusters is None else clusters
    )
    sections = {"per_scenario": {"min_conversions": 30} | bounds}
    if clusters is not None:
        sections["resample_by"] = "customer"
    models = {CANDIDATE: scores, BASELINE: scores}
    report = judge(gates(**sections), rows, models, seed=5)
    return [one.slice for one in report.refusals]


def test_a_few_conversions_that_are_left_are_hardly_any():
    # Of 160: 2 may be as many as 8.6 with three scenarios, 8 as many as 17.7.
    assert lost(2) == ["mail"]
    assert lost(8) == []
    # However many are left otherwise: of 360, 12 may be as many as 23.
    assert lost(12, rate=0.9, min_conversions=5) == ["mail"]


def test_few_conversions_may_be_chance():
    # Of 1.2 that are expected there are none in 3 of 10 such scenarios.
    assert lost(0, rate=0.003, min_conversions=1) == []
    # Of 6 there are none in 1 of 400.
    assert lost(0, rate=0.015, min_conversions=1) == ["mail"]


def test_of_few_customers_nothing_is_lost():
    # As many as 4.8 customers may have bought where none did. Of 40 % of 10 that is no
    # wonder, and of 40 % of 100 it is.
    for customers, expected in ((10, []), (100, ["mail"])):
        clusters = np.where(
            NAMES == "mail", np.arange(ROWS) % customers, np.arange(ROWS)
        )
        assert lost(0, clusters=clusters) == expected


def test_a_scenario_of_one_class_passes_where_no_model_knows_the_other():
    assert one_class(0, None) == []
    # Of which 400 rows would have 4.
    assert one_class(0, np.full(ROWS, 0.01, np.float32)) == []
    assert one_class(0, model(2), min_rows=401) == []


def test_a_candidate_finds_out_about_test_rows_that_lost_their_conversions():
    labels = np.where(NAMES == "mail", 0, LABELS).astype(np.float32)
    rows = SplitRows(labels, np.ones(ROWS), NAMES, np.arange(ROWS))
    scores = {CANDIDATE: model(0), BASELINE: model(1, scale=0.5)}
    (refusal,) = judge(gates(), rows, scores, seed=5).refusals
    assert refusal.bound.endswith("by the scores of candidate; check the labels")


@pytest.mark.parametrize("label", [0, 1])
def test_scores_of_weighted_rows_are_no_shares_of_rows(label):
    # By their weight, rows of the label that is missing count 100 times the others.
    labels = np.where(NAMES == "mail", 1 - label, LABELS).astype(np.float32)
    weights = np.where(labels == label, 100, 1).astype(np.float32)
    # A few rows weigh nothing, whatever they are scored.
    nothing = np.flatnonzero(NAMES == "mail")[:50]
    weights[nothing] = 0

    def refusals(rate, least):
        share = np.where(NAMES == "mail", rate, 0.4)
        share = 100 * share / (100 * share + 1 - share)
        share[nothing] = 1
        scores = (share if label else 1 - share).astype(np.float32)
        return judge(
            gates(per_scenario={"min_conversions": least}),
            SplitRows(labels, weights, NAMES, np.arange(ROWS)),
            {CANDIDATE: scores, BASELINE: scores},
            seed=5,
        ).refusals

    # 0.01 of 350 rows are 3.5, whose share of the weight is 0.5.
    assert refusals(0.01, least=4) == []
    (refusal,) = refusals(0.02, least=4)
    assert refusal.bound == (
        "about 7 of 350 by the scores of candidate; check the labels"
    )


def test_a_conversion_of_no_weight_is_none():
    labels = np.where(NAMES == "mail", 0, LABELS).astype(np.float32)
    weights = np.ones(ROWS)
    weightless = np.flatnonzero(NAMES == "mail")[0]
    labels[weightless], weights[weightless] = 1, 0
    rows = SplitRows(labels, weights, NAMES, np.arange(ROWS))
    scores = {CANDIDATE: model(0), BASELINE: model(1)}
    (refusal,) = judge(gates(), rows, scores, seed=5).refusals
    assert (refusal.gate, refusal.slice) == ("per_scenario.min_conversions", "mail")


def test_min_rows_does_not_concern_the_overall_gates():
    everything = {"min_rows": 10**6, "min_conversions": 10**6}
    report = run(gates(auc={"min": 0.9}, per_scenario=everything), model(0))
    assert [refusal.slice for refusal in report.refusals] == [OVERALL]


def test_scores_that_are_no_numbers_are_refused():
    candidate = model(0)
    candidate[NAMES == "web"] = np.nan
    report = run(gates(), candidate)
    assert [(r.gate, r.slice) for r in report.refusals] == [
        ("calibration.max_error", OVERALL),
        ("calibration.max_error", "web"),
    ]


def test_rows_without_weight_have_no_say():
    weights = np.where(NAMES == "web", 0.0, 1.0)
    strict = gates(
        auc={"min": 0.65},
        per_scenario={"min_auc": 0.65},
        calibration={"max_error": 0.3},
    )
    candidate = model(0, broken=["web"])
    assert {r.slice for r in run(strict, candidate).refusals} == {"web"}
    report = run(strict, candidate, weights=weights)
    assert report.blessed
    assert not by_name(report)["web"].judged


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_without_weight_is_an_error(label):
    weights = np.where(label == LABELS, 0.0, 1.0)
    message = f"at least 2, found 0 with the label {label} in 1,200 rows; no model can"
    with pytest.raises(ValueError, match=message):
        run(gates(), model(0, skill=0), weights=weights)


@pytest.mark.parametrize(
    ("by", "drawn"), [(None, "rows"), ("customer", "values of customer")]
)
def test_one_customer_says_nothing_of_others(by, drawn):
    # One customer has 9 of 10 conversions: 10^2 / (9^2 + 1) is 1.22.
    conversions = np.flatnonzero(LABELS)[:10]
    weights = np.where(LABELS > 0, 0.0, 1.0)
    weights[conversions] = 1
    customers = np.arange(ROWS)
    customers[conversions[:9]] = conversions[0]
    message = f"to have {drawn} with an effective number of at least 2, found 1.22 with"
    with pytest.raises(ValueError, match=message):
        run(gates(resample_by=by), model(0), weights=weights, clusters=customers)
    customers[conversions[5:]] = conversions[5]  # two have 5 each
    run(gates(resample_by=by), model(0), weights=weights, clusters=customers)


def test_intervals_of_all_rows_are_wider_where_these_are_few():
    # 6 conversions: Student's 97.5 % quantile for 5 degrees of freedom is 2.570582, the
    # normal distribution's 1.959964. A scenario of the same rows keeps the plain one.
    labels = np.zeros(ROWS, np.float32)
    labels[:6] = 1
    scores = {name: model(seed) for seed, name in enumerate((CANDIDATE, BASELINE))}
    rows = SplitRows(labels, np.ones(ROWS), np.full(ROWS, "all"), np.arange(ROWS))
    overall, alone = judge(gates(), rows, scores, seed=5).slices
    assert overall.judged
    for wide, plain in (
        (overall.gains[BASELINE], alone.gains[BASELINE]),
        (overall.models[CANDIDATE].auc, alone.models[CANDIDATE].auc),
        (overall.models[CANDIDATE].calibration, alone.models[CANDIDATE].calibration),
    ):
        assert wide.value == plain.value
        for end in ("low", "high"):
            assert getattr(wide, end) - wide.value == pytest.approx(
                2.570582 / 1.959964 * (getattr(plain, end) - plain.value), rel=1e-6
            )


def test_customers_rows_are_drawn_together():
    customers = np.repeat(np.arange(ROWS // 40), 40)
    # All rows of a customer are alike, so there are 30 observations.
    labels = (np.random.default_rng(8).random(ROWS // 40) < 0.5)[customers].astype(
        float
    )
    scores = np.random.default_rng(9).normal(labels[::40])[customers]
    found = {
        name: judge(
            gates(),
            SplitRows(labels, np.ones(ROWS), np.full(ROWS, "all"), clusters),
            {CANDIDATE: scores, BASELINE: scores},
            seed=0,
        )
        .slices[0]
        .models[CANDIDATE]
        .auc
        for name, clusters in (("rows", np.arange(ROWS)), ("customers", customers))
    }
    wide, narrow = (
        found[name].high - found[name].low for name in ("customers", "rows")
    )
    assert wide > 3 * narrow


@pytest.mark.parametrize(
    ("low", "high", "judged", "verdict"),
    [
        (0.01, 0.02, True, "gains"),
        (-0.02, -0.01, True, "loses"),
        (-0.01, 0.01, True, "cannot tell"),
        (0.01, 0.02, False, "too few"),
    ],
)
def test_verdict(low, high, judged, verdict):
    gain = Interval(value=(low + high) / 2, low=low, high=high)
    one = Slice(
        name="web",
        rows=10,
        positives=5,
        judged=judged,
        models={},
        gains={BASELINE: gain},
        increases={},
    )
    assert one.verdict(BASELINE) == verdict


def test_a_report_survives_json():
    # One scenario has a single class: its AUC is not a number.
    names = NAMES.copy()
    names[np.flatnonzero(LABELS == 1)[:30]] = "only"
    report = judge(
        gates(auc={"min": 0.99}),
        SplitRows(LABELS, np.ones(ROWS), names, np.arange(ROWS)),
        {CANDIDATE: model(0), BASELINE: model(1)},
        seed=5,
    ).model_copy(update={"notes": ["a note"]})
    only = by_name(report)["only"]
    assert not only.judged
    assert np.isnan(only.models[CANDIDATE].auc.value)
    again = GateReport.model_validate_json(report.model_dump_json(indent=2))
    np.testing.assert_equal(again.model_dump(), report.model_dump())
    assert str(again.refusals[0]) == str(report.refusals[0])
    assert isinstance(again.slices[1].models[BASELINE], ModelFigures)
    assert again.notes == ["a note"]


def test_slices_are_counted_where_they_take_long(monkeypatch, caplog):
    monkeypatch.setattr("pipeline.evaluation.progress._SILENCE", -1.0)
    with caplog.at_level("INFO", "midpg.gates"):
        run(gates(), model(0))
    assert caplog.messages == [f"slices measured: {n} of 4" for n in (1, 2, 3)]

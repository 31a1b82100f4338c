"""The table of figures, as a person reads it."""

from __future__ import annotations

from collections import Counter

import pytest
from rich.console import Console

from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.gates import GateReport, ModelFigures, Slice
from pipeline.evaluation.table import figures_table, judged_line


def around(value, half):
    return Interval(value=value, low=value - half, high=value + half)


def figures(auc):
    return ModelFigures(
        auc=around(auc, 0.01),
        log_loss=around(0.5, 0.02),
        calibration=around(1.1, 0.25),
    )


def make_report(models, gains, scenarios):
    """A report of 12,000 rows and scenarios of 4,000, by name: whether it is judged."""
    return GateReport(
        slices=[
            Slice(
                name=name,
                rows=rows,
                positives=rows // 8,
                judged=judged,
                models=models,
                gains=gains,
                increases={},
            )
            for name, rows, judged in (
                ("overall", 12_000, all(scenarios.values())),
                *((name, 4_000, judged) for name, judged in scenarios.items()),
            )
        ],
        refusals=[],
    )


def printed(report, width):
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(figures_table(report, 0.995))
    return captured.get().splitlines()


def shown(report):
    return [line.split() for line in printed(report, 120) if line.strip()]


def lines(models, gains, *, judged=True, scenario="app/desk"):
    return shown(make_report(models, gains, {scenario: judged}))


def test_every_model_of_every_slice_has_a_row():
    models = {"candidate": figures(0.75), "baseline": figures(0.7)}
    models["production"] = figures(0.8)
    gains = {"baseline": around(0.05, 0.01), "production": around(-0.05, 0.01)}
    title, header, _, *rows = lines(models, gains)
    assert " ".join(title) == "Test split (± half of the 99.5% interval)"
    assert header[:4] == ["scenario", "rows", "positive", "model"]
    common = ["0.5000", "±0.0200", "1.100", "±0.250"]
    expected = [
        ["baseline", "0.7000", "±0.0100", *common, "+0.0500", "±0.0100", "gains"],
        ["candidate", "0.7500", "±0.0100", *common],
        ["production", "0.8000", "±0.0100", *common, "-0.0500", "±0.0100", "loses"],
    ]
    assert rows == [
        ["overall", "12,000", "12.5%", *expected[0]],
        *expected[1:],
        ["app/desk", "4,000", "12.5%", *expected[0]],
        *expected[1:],
    ]


def test_a_narrow_terminal_cuts_nothing_off():
    models = {"candidate": figures(0.75), "baseline": figures(0.7)}
    models["production"] = figures(0.8)
    gains = {"baseline": around(0.05, 0.01), "production": around(0.001, 0.01)}
    report = make_report(models, gains, {"web/electronics/DE": True})
    lines = printed(report, 80)
    words = Counter(" ".join(lines).split())
    for figure in ("0.7000", "0.7500", "0.8000", "+0.0500", "+0.0010", "gains"):
        assert words[figure] == 2
    assert words["0.5000"] == words["±0.0200"] == 6
    assert words["1.100"] == words["±0.250"] == 6
    assert words["±0.0100"] == 10
    assert words["baseline"] == words["candidate"] == words["production"] == 2
    assert words["cannot"] == words["tell"] == 2
    first_column = "".join(line[:10].strip() for line in lines)
    assert "web/electronics/DE" in first_column


@pytest.mark.parametrize("name", ["[unknown]/FR", "[/b]", "a[red]"])
def test_a_scenarios_name_is_shown_as_it_is(name):
    models = {"candidate": figures(0.75), "baseline": figures(0.7)}
    *_, first, _ = lines(models, {"baseline": around(0.05, 0.01)}, scenario=name)
    assert first[:2] == [name, "4,000"]


@pytest.mark.parametrize(
    ("gain", "judged", "words"),
    [
        (around(0.001, 0.01), True, ["cannot", "tell"]),
        (around(-0.5, 0.01), False, ["too", "few"]),
    ],
)
def test_what_the_rows_cannot_tell_is_said(gain, judged, words):
    models = {"candidate": figures(0.75), "baseline": figures(0.7)}
    _, _, _, baseline, candidate, *_ = lines(models, {"baseline": gain}, judged=judged)
    assert baseline[-2:] == words
    assert candidate[0] == "candidate"


@pytest.mark.parametrize(
    ("unjudged", "rows", "told"),
    [
        (0, 1 + 2, "judged: 2 of 2 scenarios"),
        (
            10,
            1 + 12,
            "judged: 2 of 12 scenarios; the others have too few rows, conversions"
            " or customers (gates.per_scenario)",
        ),
        (
            11,
            1 + 2,
            "judged: 2 of 13 scenarios; the others have too few rows, conversions"
            " or customers (gates.per_scenario), and are not shown",
        ),
    ],
)
def test_many_scenarios_that_cannot_be_judged_are_counted_in_place_of_shown(
    unjudged, rows, told
):
    scenarios = {"web": True, "app": True}
    scenarios |= {f"mail-{number}": False for number in range(unjudged)}
    models = {"candidate": figures(0.75), "baseline": figures(0.7)}
    report = make_report(models, {"baseline": around(0.05, 0.01)}, scenarios)
    assert len(shown(report)) - 3 == 2 * rows
    assert judged_line(report) == told


def test_a_figure_that_rows_of_one_class_leave_undefined_is_a_dash():
    undefined = Interval(value=float("nan"), low=float("nan"), high=float("nan"))
    without_bounds = Interval(value=1.25, low=float("nan"), high=float("nan"))
    only = ModelFigures(
        auc=undefined, log_loss=around(0.5, 0.02), calibration=without_bounds
    )
    models = {"candidate": only, "baseline": only}
    *_, baseline, _ = lines(models, {"baseline": undefined}, judged=False)
    assert baseline[4:] == ["-", "0.5000", "±0.0200", "1.250", "-", "too", "few"]

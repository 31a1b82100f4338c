"""A run's page, as a browser would take it apart."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from midpg_tf.spec import DatasetSpec
from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.gates import GateReport, ModelFigures, Refusal, Slice
from pipeline.report_page import Bar, bar, write_page
from pipeline.run import RunOutcome
from transform.splits import Moment
from transform.summary import RowCount, Summary

DATA = Summary(
    fields=("channel",),
    counts=[
        RowCount(split=split, scenario=(channel,), label=label, rows=rows)
        for split, channel, label, rows in (
            ("train", "web", 0, 3_000),
            ("train", "web", 1, 90),
            ("train", "app", 0, 1_910),
            ("eval", "web", 0, 600),
            ("eval", "web", 1, 25),
            ("test", "web", 0, 599),
            ("test", "web", 1, 1),
        )
    ],
    files={"orders/1.csv": 6_225},
)

UNKNOWN = Interval(value=math.nan, low=math.nan, high=math.nan)


def interval(value, half):
    return Interval(value=value, low=value - half, high=value + half)


class Parts(HTMLParser):
    """What elements of a page say, and what the page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.items: list[str] = []
        self.paragraphs: list[str] = []
        self.text: dict[str, str] = {}
        self.bars: list[dict[str, str]] = []
        self.loaded: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.loaded += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "li":
            self.items.append("")
        elif tag == "p":
            self.paragraphs.append("")
        elif tag == "line" and attributes.get("class") != "zero":
            self.bars.append(attributes)
        if tag not in ("line", "circle", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text[self.open[-1] if self.open else ""] = data.strip()
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data.strip()
        elif self.open and self.open[-1] == "li":
            self.items[-1] += " ".join(data.split())
        elif self.open and self.open[-1] == "p":
            self.paragraphs[-1] += " ".join(data.split())


def make_slice(name, gains, *, judged=True):
    models = {
        model: ModelFigures(
            auc=interval(0.75, 0.01),
            log_loss=interval(0.5, 0.02),
            calibration=interval(1.1, 0.25),
        )
        for model in ("candidate", *gains)
    }
    return Slice(
        name=name,
        rows=4_000,
        positives=500,
        judged=judged,
        models=models,
        gains=gains,
        increases={},
    )


@pytest.fixture
def page(tmp_path, spec):
    """Writes the page of slices, and takes it apart."""

    def write(*slices, refusals=(), notes=(), **outcome):
        report = GateReport(slices=slices, refusals=refusals)
        usual = {
            "unservable": None,
            "version": 8,
            "pushed": True,
            "uncompared": False,
            "data": DATA,
        }
        file = tmp_path / "reports" / "one.html"
        outcome = RunOutcome(
            report, notes, trained=Path("/runs/8"), **(usual | outcome)
        )
        write_page(outcome, spec, file)
        return Parts(file.read_text(encoding="utf-8"))

    return write


def test_each_scenario_has_a_row(page):
    found = page(
        make_slice(
            "overall",
            {"baseline": interval(0.02, 0.01), "production": interval(0.0, 0.01)},
        ),
        make_slice(
            "web/FR",
            {"baseline": interval(-0.03, 0.01), "production": UNKNOWN},
        ),
        make_slice(
            "app/FR",
            {"baseline": interval(0.5, 0.2), "production": interval(0.5, 0.2)},
            judged=False,
        ),
    )
    header, *rows = found.rows[:4]
    assert header[3:5] == [
        "gain in AUC over the baseline model",
        "gain in AUC over the production model",
    ]
    counts = ["4,000", "500 (12.5%)"]
    figures = ["0.7500 ±0.0100", "0.5000 ±0.0200", "1.100 ±0.250"]
    gains = ["+0.0200 ±0.0100", "", "gains", "+0.0000 ±0.0100", "", "cannot tell"]
    losses = ["-0.0300 ±0.0100", "", "loses", "-", "", "cannot tell"]
    assert rows == [
        ["overall", *counts, *gains, *figures],
        ["web/FR", *counts, *losses, *figures],
        ["app/FR", *counts, *(["+0.5000 ±0.2000", "", "too few"] * 2), *figures],
    ]
    assert found.items[:2] == [
        "Over the baseline model: AUC +0.0200 ±0.0100; scenarios: loses 1, too few 1."
        " It loses in web/FR.",
        "Over the production model: AUC +0.0000 ±0.0100; scenarios: cannot tell 1,"
        " too few 1.",
    ]
    # The scale is that of -0.04, the judged slices' largest end; others are cut off.
    assert [(one["x1"], one["x2"]) for one in found.bars] == [
        ("25.0", "75.0"),
        ("-25.0", "25.0"),
        ("-100.0", "-50.0"),
        ("100.0", "100.0"),
        ("100.0", "100.0"),
    ]
    assert found.open == []
    assert found.loaded == []


def test_reasons_come_first(page):
    refusal = Refusal(
        gate="per_scenario.max_loss",
        slice="web",
        figure="gain in AUC over baseline",
        found=interval(-0.05, 0.01),
        bound="at least -0.01",
    )
    found = page(
        make_slice("overall", {"baseline": interval(0.02, 0.01)}),
        refusals=[refusal],
        notes=["feature 'country': drifted", "no comparison with production"],
        unservable="no <tensor>",
        pushed=False,
    )
    assert found.text["h1"] == "shop: the candidate was refused"
    assert found.items[:4] == [
        f"Refused: {refusal}",
        "Refused: gate infrastructure: the model can't serve: no <tensor>",
        "feature 'country': drifted",
        "no comparison with production",
    ]


@pytest.mark.parametrize(
    ("pushed", "headline"),
    [
        (True, "shop: version 8 was pushed"),
        (False, "shop: passed, and nothing new to push"),
    ],
)
def test_a_model_that_passed(page, pushed, headline):
    gains = {"baseline": interval(0.02, 0.01)}
    assert page(make_slice("overall", gains), pushed=pushed).text["h1"] == headline


def test_names_are_no_markup(page):
    name = "<script>alert(1)</script>/{{ 1 + 1 }}"
    gains = {"baseline": interval(0.02, 0.01)}
    found = page(make_slice("overall", gains), make_slice(name, gains))
    assert found.rows[2][0] == name


def test_each_split_has_a_row(page):
    found = page(make_slice("overall", {"baseline": UNKNOWN}))
    assert found.rows[2:] == [
        ["split", "rows", "liked", "scenarios", "is for"],
        ["train", "5,000", "90 (1.8%)", "2", "training"],
        ["eval", "625", "25 (4.0%)", "1", "early stopping"],
        ["test", "600", "1 (0.2%)", "1", "the figures above, and the gates"],
    ]
    assert "Of orders/1.csv." in found.paragraphs


def test_of_many_files_the_first_are_named(page):
    data = DATA.model_copy(
        update={
            "files": {f"{day}.csv": 1 for day in range(1_007)},
            "test_start": Moment(is_date=True, value=86_400.0),
        }
    )
    found = page(make_slice("overall", {"baseline": UNKNOWN}), data=data)
    assert (
        "Of 0.csv, 1.csv, 2.csv, 3.csv, 4.csv, and 1,002 more. The test rows are those"
        " from 1970-01-02T00:00:00+00:00 on."
    ) in found.paragraphs


def test_the_settings_are_those_of_the_run(page, spec):
    found = page(make_slice("overall", {"baseline": UNKNOWN}))
    read = yaml.safe_load(found.text["pre"])
    assert DatasetSpec.model_validate(read) == spec


@pytest.mark.parametrize(
    ("gain", "expected"),
    [(interval(0.01, 0.02), Bar(-50, 50, 100)), (interval(0.0, 0.0), Bar(0, 0, 0))],
)
def test_a_bar_ends_at_the_scales_end(gain, expected):
    assert bar(gain, 0.02) == pytest.approx(expected)


def test_an_interval_that_is_not_known_has_no_bar():
    assert bar(Interval(value=0.01, low=math.nan, high=math.nan), 0.02) is None

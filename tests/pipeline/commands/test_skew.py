"""`midpg skew`: what it shows, and how it ends."""

from __future__ import annotations

import json

import pytest

import pipeline.skew.check
from pipeline.skew.comparison import Comparison, SkewReport
from pipeline.skew.logs import LogError


def comparison(feature, distance, **changes):
    values = {
        "scenario": "app/desk",
        "feature": feature,
        "rows": 1200,
        "distance": distance,
        "bound": 0.35,
        "moved": "de",
        "share_in_training": 0.5,
        "share_in_production": 0.25,
        "new": 0.125,
        "new_bound": 0.6,
    }
    return Comparison(**(values | changes))


@pytest.fixture
def run(command, write_dataset, make_rows, monkeypatch):
    """Runs the command with a report that is given; keeps what was asked for."""
    asked = []

    def run(report, *arguments):
        def check_skew(spec, paths, logs, console, **options):
            asked.append((spec.name, paths.root, logs, options))
            if isinstance(report, Exception):
                raise report
            return report

        monkeypatch.setattr(pipeline.skew.check, "check_skew", check_skew)
        file = write_dataset(make_rows(1))
        found = command("skew", file, "--log", "logs/m", *arguments)
        found.asked = asked.pop()
        return found

    return run


DRIFTED = SkewReport(
    comparisons=[comparison("country", 0.7), comparison("item", 0.1)],
    rows=5000,
    notes=["1 requests to the model [other] were left out"],
)


def test_the_version_is_named(run):
    report = DRIFTED.model_copy(update={"version": 7})
    found = run(report, "--version", "7")
    assert found.asked[-1]["version"] == 7
    assert found.out[0] == (
        "5,000 rows in production that version 7 answered against training"
    )


def test_a_drift_is_named_and_decides_the_exit_code(run):
    found = run(DRIFTED)
    assert found.code == 3
    assert found.out[0] == "5,000 rows in production against training"
    rows = [" ".join(line.split()) for line in found.out if "app/desk " in line]
    assert rows[:2] == [
        "app/desk country 1,200 0.700 0.350 12.5% de: 50.0% to 25.0% drifted",
        "app/desk item 1,200 0.100 0.350 12.5% de: 50.0% to 25.0% same",
    ]
    assert found.out[-2:] == [
        "note: 1 requests to the model [other] were left out",
        "drifted: scenario app/desk, feature country: the distance is 0.700, expected"
        " at most 0.350; de went from 50.0% to 25.0%",
    ]


def test_values_of_the_logs_do_not_reach_the_terminal_as_commands(run):
    drifted = comparison("country", 0.7, scenario="app\x1b[2J", moved="\x9b2J")
    found = run(SkewReport(comparisons=[drifted], rows=5000))
    assert not {"\x1b", "\x9b"} & set("".join(found.out))
    assert "scenario app\N{REPLACEMENT CHARACTER}[2J, feature" in found.out[-1]


@pytest.mark.parametrize(("new", "shown"), [(0.0, "0.0%"), (None, "?")])
def test_no_drift(run, new, shown):
    found = run(SkewReport(comparisons=[comparison("item", 0.1, new=new)], rows=5000))
    assert found.code == 0
    (row,) = [line.split() for line in found.out if "app/desk " in line]
    assert row[5] == shown
    assert not any(line.startswith("drifted") for line in found.out)


def test_a_narrow_terminal_cuts_nothing_off(run, monkeypatch):
    monkeypatch.setattr("serving.commands.terminal._FILE_WIDTH", 80)
    drifted = comparison(
        "segment_of_customer", 0.7, scenario="web/electronics/DE", moved="electronics"
    )
    found = run(SkewReport(comparisons=[drifted], rows=5000))
    table = found.out[: found.out.index(f"drifted: {drifted}")]
    words = " ".join(table).split()
    for figure in ("1,200", "0.700", "0.350", "12.5%", "50.0%", "25.0%", "drifted"):
        assert figure in words
    assert "web/electronics/DE" in "".join(line[:11].strip() for line in table)
    assert "…" not in "".join(table)


def test_of_many_comparisons_the_worst_are_shown(run):
    many = [comparison(f"f{number}", 0.1) for number in range(40)]
    found = run(SkewReport(comparisons=many, rows=5000))
    assert found.out[0].endswith("training; 10 more are within their bounds")
    assert sum("app/desk" in line for line in found.out) == 30


@pytest.mark.parametrize(("report", "code"), [(DRIFTED, 3), (None, 0)])
def test_json_is_all_that_is_printed(run, report, code):
    report = report or SkewReport(comparisons=[], rows=1)
    found = run(report, "--json")
    assert found.code == code
    content = json.loads("\n".join(found.out))
    assert content == json.loads(report.model_dump_json())
    assert [one["drifted"] for one in content["comparisons"]] == [True, False][
        : len(report.comparisons)
    ]


def test_bounds_are_the_files_unless_told(run, content):
    content["data"]["drift"] = {"categorical": 0.2, "numeric": 0.1}
    content["gates"]["per_scenario"] = {"min_rows": 77}
    name, root, logs, options = run(DRIFTED).asked
    assert (name, root.name, logs, options["model"]) == (
        "shop",
        "shop",
        "logs/m",
        "shop",
    )
    assert (options["bounds"].categorical, options["bounds"].numeric) == (0.2, 0.1)
    assert options["min_requests"] == 77
    assert options["version"] is None

    arguments = ["--threshold", "0.4", "--min-requests", "9", "--model_name", "ranker"]
    options = run(DRIFTED, *arguments).asked[-1]
    assert (options["bounds"].categorical, options["bounds"].numeric) == (0.4, 0.4)
    assert (options["min_requests"], options["model"]) == (9, "ranker")


def test_an_error_is_one_message(run):
    found = run(LogError("logs/m: expected rows"))
    assert found.code == 1
    assert found.err[0] == "Error: logs/m: expected rows"
    assert found.err[1].startswith("log: ")


def test_logs_must_be_named(command, tmp_path):
    found = command("skew", tmp_path / "shop.yaml")
    assert found.code == 2
    assert "Missing option '--log'" in found.err[-1]


@pytest.mark.parametrize("bound", ["0", "1"])
def test_a_threshold_is_a_share(command, tmp_path, bound):
    arguments = ["--log", "logs/m", "--threshold", bound]
    found = command("skew", tmp_path / "shop.yaml", *arguments)
    assert found.code == 2
    assert f"{bound}.0 is not in the range 0<x<1" in found.err[-1]

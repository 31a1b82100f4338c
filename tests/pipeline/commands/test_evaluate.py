"""`midpg evaluate`: what it shows, and how it ends."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from pipeline.paths import RunPaths

# The command scores with real models.
pytestmark = pytest.mark.slow


@pytest.fixture
def run(command, write_dataset, make_rows, scorers, content):
    """Runs the command on 300 rows, with the versions 100 and 200."""
    rows = make_rows(300, seed=7)
    file = write_dataset(rows)
    paths = RunPaths(file.parent / ".midpg" / "shop")
    for version, a in ((100, 1.0), (200, -1.0)):
        target = paths.serving / str(version)
        shutil.copytree(scorers(a) / "Format-Serving", target)
    later = file.parent / "later.csv"
    with later.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return lambda *arguments: command("evaluate", file, "--rows", later, *arguments)


def test_a_version_that_holds_its_bounds(run):
    found = run("--version", 100)
    assert found.code == 0
    assert found.out[0] == "300 rows (± half of the 95% interval)"
    (overall,) = [line.split() for line in found.out if line.startswith(" overall")]
    assert overall[1:2] == ["300"]
    assert overall[3:5] == ["version", "100"]
    assert found.out[-1].startswith("judged: 0 of 4 scenarios")


def test_bounds_that_break_are_told_and_decide_the_exit_code(run):
    found = run("--version", 200, "--against", 100)
    assert found.code == 3
    gates = [line.split(",")[0] for line in found.out if line.startswith("fails: ")]
    assert gates == [
        "fails: gate auc.min",
        "fails: gate auc.min_gain",
        "fails: gate log_loss.max_increase",
    ]
    text = " ".join(" ".join(found.out).split())
    assert "gain in AUC over version 100 is -0." in text


def test_notes_are_told(run):
    found = run("--version", 100)
    (note,) = [line for line in found.out if line.startswith("note: ")]
    assert note.startswith("note: version 100 isn't from these runs, so that")


def test_json_is_all_that_is_printed(run):
    found = run("--version", 200, "--against", 100, "--json")
    assert found.code == 3
    content = json.loads("\n".join(found.out))
    assert (content["version"], content["against"]) == (200, 100)
    assert set(content["report"]["slices"][0]["models"]) == {"candidate", "version 100"}
    assert content["report"]["refusals"]


def test_an_error_is_one_message(run):
    found = run("--version", 300)
    assert found.code == 1
    assert "expected version 300, found 100, 200" in found.err[0]
    assert found.out == []

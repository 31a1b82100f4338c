"""The command `midpg benchmark quality`, from rows to its report."""

from __future__ import annotations

import csv
import json

import pytest


@pytest.fixture
def quality(command):
    """Runs the command in this process; gives exit code, output and errors."""

    def run(*arguments):
        found = command("benchmark", "quality", *arguments)
        return found.code, "\n".join(found.out), "\n".join(found.err)

    return run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing option '--spec'"),
        (["--spec", "a.yaml", "--seeds", "1,x"], "parted by commas, found '1,x'"),
        (["--spec", "a.yaml", "--budget", "time"], "'time' is not one of"),
    ],
)
def test_wrong_usage_is_exit_code_2(quality, arguments, told):
    code, _, err = quality(*arguments)
    assert code == 2
    assert told in " ".join(err.split())


def test_an_unknown_model_is_told_before_anything_is_done(
    quality, write_dataset, make_rows, tmp_path
):
    pytest.importorskip("matplotlib")
    file = write_dataset(make_rows(20))
    code, out, err = quality("--spec", file, "--models", "mlp,mpl")
    assert code == 1
    assert "found 'mpl'" in err
    assert "data" not in out
    assert not list(tmp_path.glob(".midpg/*/benchmark/data"))


def test_impossible_settings_are_told_before_anything_is_done(
    quality, write_dataset, make_rows, content, tmp_path
):
    pytest.importorskip("matplotlib")
    content["model"]["dropout"] = 2
    file = write_dataset(make_rows(20))
    code, _, err = quality("--spec", file)
    assert code == 1
    assert "model mlp: dropout: expected a share from 0 to below 1, found 2" in err
    assert not list(tmp_path.glob(".midpg/*/benchmark/data"))


@pytest.mark.parametrize(("text", "expected"), [("8,8,4", [8, 8, 4]), (" 16 ", [16])])
def test_equal_widths_stay(command, monkeypatch, text, expected):
    found = []

    def measure(**options):
        found.append(options)
        return ()

    monkeypatch.setattr("pipeline.benchmark.speed.measure", measure)
    ended = command("benchmark", "speed", "--hidden", text, "--scenarios", "4,4,2")
    assert ended.code == 0
    assert (found[0]["hidden"], found[0]["scenarios"]) == (expected, [4, 2])


@pytest.mark.e2e
def test_from_rows_to_report_and_again(
    quality, write_dataset, make_rows, content, tmp_path
):
    pytest.importorskip("matplotlib")
    content["training"] = {"epochs": 2, "batch_size": 64}
    content["baseline"] = {"name": "mlp", "dropout": 0.1}
    content["data"]["split"] = {"by": "hash", "eval": 0.3, "test": 0.3}
    file = write_dataset(make_rows(300))
    arguments = ["--spec", file, "--seeds", "1,2", "--json", tmp_path / "all.json"]
    code, out, err = quality(*arguments, "--models", "mlp, midpg")
    assert (code, err) == (0, "")
    assert "4 of 4  midpg, seed 2: test AUC 0." in out
    assert "Gains over mlp [95% interval over seeds and their splits]" in out
    assert "MI-DPG at rank 2 and 4 scenarios has" in out
    folder = tmp_path / ".midpg" / "shop" / "benchmark"
    records = json.loads((tmp_path / "all.json").read_text())
    assert {record["model"] for record in records} == {"mlp", "midpg"}
    # Each seed has drawn a split of its own, the same for both models.
    rows = {
        (record["model"], record["seed"]): record["rows"]
        for record in records
        if record["split"] == "test" and record["scenario"] == "web/desk"
    }
    assert rows["mlp", 1] == rows["midpg", 1]
    assert len(list((folder / "data").iterdir())) == 2
    assert json.loads((folder / "records.json").read_text()) == records
    with (folder / "records.csv").open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == len(records)
    report = (folder / "report.md").read_text()
    assert report.startswith("# shop: seeds 1, 2, same hidden widths\n")
    assert "| verdict on AUC |" in report
    assert "**Settings that differ**\n\n| model | dropout |\n" in report
    assert "Settings that differ" in out
    assert (folder / "gains.png").read_bytes().startswith(b"\x89PNG")

    code, out, _ = quality(*arguments)
    assert code == 0
    assert out.count(", kept") == 4
    assert json.loads((tmp_path / "all.json").read_text()) == records

    # A model alone has nothing to be compared to.
    code, out, _ = quality(*arguments, "--models", "mlp")
    assert code == 0
    assert "Figures on the test split" in out
    assert "Gains over" not in out
    assert not (folder / "gains.png").exists()

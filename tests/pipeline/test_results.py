"""Outputs of the newest run, found in a metadata store."""

from __future__ import annotations

from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.evaluation.gates import GateReport
from pipeline.results import Pushed, Results, read_report

Execution = mlmd.Execution


def test_no_run(paths):
    with pytest.raises(FileNotFoundError, match="run `midpg run` first") as caught:
        Results(paths)
    assert str(caught.value).startswith(f"{paths.root}: expected the files of a run")


def test_the_newest_output_is_found(paths, store):
    store.add("shop.Trainer", model="/1")
    properties = {"blessed": 1, "pushed": 0, "status": "GOOD"}
    store.add("shop.Trainer", model="/2", properties=properties)
    store.add("shop.OtherTrainer", model="/3")
    store.add("shop.Trainer", model_run="/4")
    found = Results(paths).newest("Trainer", "model")
    assert found.uri == Path("/2")
    assert found.properties == properties
    assert Results(paths).newest("Trainer", "model_run").uri == Path("/4")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Execution.COMPLETE, "/2"),
        (Execution.CACHED, "/2"),
        (Execution.FAILED, "/1"),
        (Execution.RUNNING, "/1"),
    ],
)
def test_only_what_ended_well_counts(paths, store, state, expected):
    store.add("shop.Trainer", model="/1")
    store.add("shop.Trainer", model="/2", state=state)
    assert Results(paths).newest("Trainer", "model").uri == Path(expected)


@pytest.mark.parametrize("component", ["Trainer", "Evaluator"])
def test_no_output(paths, store, component):
    store.add("shop.Trainer", model="/1", state=Execution.FAILED)
    with pytest.raises(LookupError, match=f"the output 'model' of {component}, found"):
        Results(paths).newest(component, "model")


def test_the_report_is_read(paths, store):
    report = GateReport(slices=[], refusals=[], notes=["a note"])
    folder = paths.artifacts / "ScenarioGate" / "report" / "11"
    folder.mkdir(parents=True)
    (folder / "gates.json").write_text(report.model_dump_json())
    store.add("shop.ScenarioGate", report=str(folder))
    assert Results(paths).report() == report


def test_the_report_is_read_in_any_locale(tmp_path, monkeypatch):
    report = GateReport(slices=[], refusals=[], notes=["Österreich"])
    (tmp_path / "gates.json").write_text(report.model_dump_json(), "utf-8")
    monkeypatch.setattr("io.text_encoding", lambda found, level=2: found or "ascii")
    assert read_report(tmp_path) == report


def test_a_pushed_version_leads_to_its_own_report(paths, store):
    store.push(7, report="/r7", examples="/e", statistics="/s")
    # Judged on the same rows, and refused.
    store.judge(report="/refused", examples="/e")
    store.push(9, report="/r9", examples="/e9", statistics="/s9")

    assert Results(paths).pushed() == {
        7: Pushed(Path("/r7"), Path("/e"), Path("/s")),
        9: Pushed(Path("/r9"), Path("/e9"), Path("/s9")),
    }


def test_a_pushed_version_has_the_note_of_what_it_was_trained_for(paths, store):
    store.push(7, report="/r7", examples="/e", statistics="/s", basis="{}")
    assert Results(paths).pushed()[7].basis == "{}"


def test_what_was_not_pushed_is_no_version(paths, store):
    store.push(7, report="/r7", examples="/e", statistics="/s", pushed=False)
    assert Results(paths).pushed() == {}


def test_a_version_comes_from_where_it_was_first_noted(paths, store):
    store.push(7, report="/r7", examples="/e", statistics="/s")
    store.push(7, report="/again", examples="/e", statistics="/s")
    assert Results(paths).pushed()[7].report == Path("/r7")


def test_artifacts_are_found_in_a_folder_that_was_moved(paths, store):
    before = "/before/.midpg/shop/artifacts"
    store.push(
        7,
        report=f"{before}/ScenarioGate/report/11",
        examples=f"{before}/DatasetExampleGen/examples/1",
        statistics=f"{before}/StatisticsGen/statistics/3",
    )

    report = paths.artifacts / "ScenarioGate" / "report" / "11"
    assert Results(paths).newest("ScenarioGate", "report").uri == report
    assert Results(paths).pushed()[7] == Pushed(
        report,
        paths.artifacts / "DatasetExampleGen" / "examples" / "1",
        paths.artifacts / "StatisticsGen" / "statistics" / "3",
    )

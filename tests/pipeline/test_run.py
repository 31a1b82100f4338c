"""What a run tells of its outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipeline.run
from pipeline.components.data_gate import NOTES_KEY
from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.gates import GateReport, ModelFigures, Slice
from transform.summary import Summary, write_summary

FIGURE = Interval(value=0.6, low=0.5, high=0.7)
DATA = Summary(fields=("channel",), counts=(), files={"rows.csv": 9})
FIGURES = ModelFigures(auc=FIGURE, log_loss=FIGURE, calibration=FIGURE)


@pytest.fixture
def outcome(spec, paths, store, monkeypatch):
    """Gives the outcome of a run that pushes a version, or notes one."""

    def run(
        before=(),
        *,
        pushes=None,
        copied=(),
        models=("candidate", "baseline"),
        infra=(),
    ):
        overall = Slice(
            name="overall",
            rows=9,
            positives=3,
            judged=True,
            models=dict.fromkeys(models, FIGURES),
            gains={},
            increases={},
        )
        report = GateReport(slices=[overall], refusals=[], notes=["no comparison"])

        def make(versions):
            for version in versions:
                folder = paths.serving / str(version)
                folder.mkdir(parents=True)
                (folder / "saved_model.pb").touch()

        def work(*_, **__):
            folder = paths.artifacts / "ScenarioGate" / "report" / "11"
            folder.mkdir(parents=True)
            (folder / "gates.json").write_text(report.model_dump_json())
            examples = paths.artifacts / "DatasetExampleGen" / "examples" / "1"
            write_summary(DATA, str(examples))
            store.add("shop.DatasetExampleGen", examples=str(examples))
            noted = {NOTES_KEY: json.dumps(["split 'test': [new]"])}
            store.add("shop.DataGate", anomalies="/anomalies", properties=noted)
            store.add("shop.ScenarioGate", report=str(folder))
            store.add(
                "shop.ProcessInfraValidator",
                blessing="/blessing",
                properties=dict(infra) or {"blessed": 1},
            )
            store.add("shop.CandidateTrainer", model_run="/runs/8")
            noted = {"note": "not pushed: rolled back"}
            if pushes:
                noted = {"pushed": 1, "pushed_version": str(pushes), "note": ""}
            store.add(
                "shop.NewModelPusher",
                pushed_model="/pushed",
                properties={"pushed": 0} | noted,
            )
            make({*copied, pushes} - {None, *before})

        make(before)
        monkeypatch.setattr(pipeline.run, "run_locally", work)
        return pipeline.run.run_pipeline(spec, paths)

    return run


def test_a_first_model_has_nothing_to_be_compared_with(outcome):
    found = outcome(pushes=5)
    assert (found.version, found.unservable, found.refusals) == (5, None, [])
    assert found.trained == Path("/runs/8")
    assert found.data == DATA
    assert (found.pushed, found.uncompared) == (True, False)


def test_notes_are_in_the_order_of_the_run(outcome):
    of_all_runs = ["split 'test': [new]", "no comparison"]
    assert outcome([4]).notes == [*of_all_runs, "not pushed: rolled back"]


def test_a_push_is_nothing_to_note(outcome):
    assert outcome(pushes=5).notes == ["split 'test': [new]", "no comparison"]


def test_a_push_without_a_comparison_is_told(outcome):
    found = outcome([4], pushes=5)
    assert (found.pushed, found.uncompared) == (True, True)


def test_a_push_after_a_comparison(outcome):
    found = outcome([4], pushes=5, models=("candidate", "baseline", "production"))
    assert (found.pushed, found.uncompared) == (True, False)


def test_a_model_that_cannot_serve_is_refused_for_what_its_check_noted(outcome):
    found = outcome([4], infra={"blessed": 0, "reason": "no tensor"})
    assert found.unservable == "no tensor"
    assert found.refusals == [
        "gate infrastructure: the model can't serve: no tensor",
    ]


@pytest.mark.parametrize("noted", [None, 4])
def test_the_newest_version_is_told_if_none_was_pushed(outcome, noted):
    """One that is there already may be noted again."""
    found = outcome([3, 4], pushes=noted)
    assert (found.version, found.pushed, found.uncompared) == (4, False, False)


@pytest.mark.parametrize(("pushes", "version"), [(5, 5), (None, 4)])
def test_versions_that_others_bring_are_no_push(outcome, pushes, version):
    found = outcome([4], pushes=pushes, copied=[9])
    assert (found.version, found.pushed) == (version, pushes is not None)

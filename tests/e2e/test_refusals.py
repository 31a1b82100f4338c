"""What isn't pushed, and why: the reason is told, and production stays as it is."""

from pathlib import Path

import pytest

from pipeline.components.data_gate import DataError
from pipeline.run import versions

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("shop")]

CONTRARY = "app/fr"


@pytest.fixture
def assert_production_stays(shop, client, rows, serving_versions):
    """That a run pushed nothing, and that what was served before still answers."""

    def check(run):
        assert run.before
        assert run.after == run.before
        pushed = run.outputs.get(("NewModelPusher", "pushed_model"))
        assert pushed is None or pushed.properties["pushed"] == 0
        assert serving_versions() == {max(versions(shop.paths.serving))}
        assert 0 < client.predict(rows[:1])[0] < 1

    return check


def test_an_impossible_threshold(below_threshold, assert_production_stays):
    assert_production_stays(below_threshold)
    assert below_threshold.exit_code == 3
    lines = below_threshold.output.splitlines()
    (report,) = [line for line in lines if line.startswith("refused:")]
    assert "gate auc.min, overall: AUC is 0.8" in report
    assert report.endswith("expected at least 0.999")
    (page,) = [line for line in lines if line.startswith("report:")]
    text = Path(page.removeprefix("report:").strip()).read_text(encoding="utf-8")
    assert f'<li class="refused">R{report.removeprefix("r")}</li>' in text
    (kept,) = below_threshold.after
    assert f"not pushed: version {kept} is still the newest" in below_threshold.output
    assert (
        below_threshold.outputs["ScenarioGate", "blessing"].properties["blessed"] == 0
    )


def test_rows_are_read_and_judged_in_the_process(below_threshold):
    (line,) = (one for one in below_threshold.output.splitlines() if "log:  " in one)
    log = Path(line.removeprefix("log:").strip()).read_text(encoding="utf-8")
    assert "using the default runner: FnApiRunner" in log
    assert "Prism" not in log


def test_a_model_that_cannot_answer(unservable, replaced, assert_production_stays):
    assert_production_stays(unservable)
    infra = unservable.outputs["ProcessInfraValidator", "blessing"]
    assert (infra.uri / "INFRA_NOT_BLESSED").exists()
    assert not (infra.uri / "INFRA_BLESSED").exists()
    assert unservable.outcome.report.refusals == []
    (refusal,) = unservable.outcome.refusals
    assert refusal.startswith("gate infrastructure: the model can't serve: INVALID_ARG")
    assert "pyfunc" in refusal
    assert not unservable.outcome.pushed
    assert unservable.outcome.version == replaced[0].outcome.version


def test_a_model_that_cannot_answer_is_no_measure_for_later_ones(
    shuffled, unservable, replaced
):
    compared = shuffled.outputs["ScenarioGate", "blessing"].properties
    in_production = replaced[0].outputs["ScenarioGate", "blessing"].properties
    assert compared["baseline_model_id"] == in_production["current_model_id"]
    assert shuffled.outcome.report.notes == []


def test_one_scenario_that_breaks(shuffled, assert_production_stays):
    assert_production_stays(shuffled)
    report = shuffled.outcome.report
    overall = report.slices[0]
    assert overall.name == "overall"
    assert overall.models["candidate"].auc.value > 0.7
    assert {refusal.slice for refusal in report.refusals} == {CONTRARY}
    # Whether random labels still order rows is a matter of chance; that their scores
    # say little isn't.
    (refusal,) = (r for r in report.refusals if r.gate == "log_loss.max_increase")
    assert str(refusal).startswith(
        f"gate log_loss.max_increase, scenario {CONTRARY}: relative increase in log"
        " loss over production is 0."
    )
    assert str(refusal).endswith("expected at most 0.05")


def test_rows_that_violate_the_schema(anomalous, assert_production_stays):
    assert_production_stays(anomalous)
    assert isinstance(anomalous.error, DataError)
    message = str(anomalous.error)
    assert "split 'train', feature 'country': Unexpected string values" in message
    assert "xx" in message
    assert "no model was trained" in message
    assert anomalous.states == {
        "ProductionModel": "COMPLETE",
        "DatasetExampleGen": "COMPLETE",
        "StatisticsGen": "COMPLETE",
        "DatasetSchemaGen": "COMPLETE",
        "DataGate": "FAILED",
    }

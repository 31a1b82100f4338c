"""Later runs: what is done again, and what comes from the cache."""

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("shop")]

DATA = {
    "DatasetExampleGen",
    "StatisticsGen",
    "DatasetSchemaGen",
    "DataGate",
    "Transform",
}
TRAINERS = {"BaselineTrainer", "CandidateTrainer"}
CHECKS = {"Evaluator", "ProcessInfraValidator"}
# The second compares with the model in production, which is another one now.
DECISIONS = {"ProductionModel", "ScenarioGate", "NewModelPusher"}


def test_a_second_run_comes_from_the_cache_and_pushes_nothing(second):
    assert second.in_state("CACHED") == DATA | TRAINERS | CHECKS
    assert second.in_state("COMPLETE") == DECISIONS
    assert len(second.states) == len(DATA | TRAINERS | CHECKS | DECISIONS)
    assert not second.outcome.pushed
    assert second.after == second.before
    assert second.outputs["NewModelPusher", "pushed_model"].properties["pushed"] == 0
    assert second.outcome.report.notes == ["the candidate is the model in production"]


def test_another_model_trains_only_the_candidate(below_threshold):
    assert below_threshold.in_state("CACHED") == DATA | {"BaselineTrainer"}
    assert below_threshold.in_state("COMPLETE") == (
        {"CandidateTrainer"} | CHECKS | DECISIONS
    )


def test_other_gates_train_nothing(replaced):
    run, _ = replaced
    assert run.in_state("CACHED") == DATA | TRAINERS | CHECKS
    assert run.in_state("COMPLETE") == DECISIONS
    assert run.outcome.pushed
    assert len(run.after - run.before) == 1


def test_what_was_rolled_back_is_not_pushed_when_it_is_trained_anew(retrained):
    assert retrained.in_state("COMPLETE") == DATA | TRAINERS | CHECKS | DECISIONS
    assert retrained.outcome.refusals == []
    assert not retrained.outcome.pushed
    assert retrained.after == retrained.before
    version = max(retrained.before)
    assert f"found version {version}, which was" in retrained.outcome.notes[-1]


def test_new_rows_train_everything_under_the_first_schema(shuffled):
    assert shuffled.in_state("CACHED") == set()
    assert shuffled.in_state("COMPLETE") == DATA | TRAINERS | CHECKS | DECISIONS

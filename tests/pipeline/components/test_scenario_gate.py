"""Blessing or refusal by scores of exported models, and the report that says why."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf
from tfx.components.util import model_utils

from midpg_tf.spec.label import Label
from pipeline.components.scenario_gate import REPORT_FILE, ScenarioGate
from pipeline.evaluation.basis import Basis
from pipeline.evaluation.gates import GateReport
from transform.splits import Moment
from transform.summary import RowCount, Summary, write_summary

GOOD, INVERTED = 1.0, -1.0
"""Scores that rise, or fall, with what decides the label."""

VERSION = "7"
"""The version in production."""

SUMMARY = Summary(
    fields=("channel", "device"),
    counts=tuple(
        RowCount(split=split, scenario=("web", "desk"), label=label, rows=rows)
        for split, by_label in {"train": (900, 300), "test": (400, 200)}.items()
        for label, rows in enumerate(by_label)
    ),
    files={},
    test_start=Moment(False, 1200),
    contents={"train": "1f", "eval": "2f", "test": "3f"},
)
"""What ingestion says of the rows, of which only those of the test split are there."""

BOUNDS = {
    "auc": {"min": 0.6, "min_gain": -0.05},
    "per_scenario": {"min_rows": 10**6},
    "calibration": {"max_error": 0.9},
    "resamples": 100,
}


class Probability(tf.Module):
    """A model that calls its output otherwise."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def answer(self, examples):
        return {"probability": tf.zeros(tf.shape(examples))}

    def save(self, folder):
        path = str(folder / "Format-Serving")
        tf.saved_model.save(self, path, signatures=self.answer)


class Exported(tf.Module):
    """A model of the price that says which other features it takes."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def score(self, examples):
        parse = {"price": tf.io.FixedLenFeature([], tf.float32)}
        parsed = tf.io.parse_example(examples, parse)
        return {"score": tf.sigmoid(parsed["price"])}

    def save(self, folder, **others):
        tensor = tf.TensorSpec([None], tf.float32)
        raw = tf.function(lambda **features: {"score": tf.sigmoid(features["price"])})
        signatures = {
            "serving_default": self.score,
            "predict_raw": raw.get_concrete_function(price=tensor, **others),
        }
        path = str(folder / "Format-Serving")
        tf.saved_model.save(self, path, signatures=signatures)


@pytest.fixture
def serving(tmp_path):
    """The folder of versions, empty."""
    folder = tmp_path / "serving"
    folder.mkdir()
    return folder


@pytest.fixture
def run_gate(
    tmp_path, spec, serving, artifact, run_function, scorers, write_examples, make_rows
):
    """Runs the gate with models that score as `Scorer` does, given their slopes."""
    write_examples(tmp_path / "examples" / "Split-test", make_rows(600))
    write_summary(SUMMARY, str(tmp_path / "examples"))
    examples = artifact("Examples", tmp_path / "examples", ["train", "eval", "test"])

    def run(candidate=GOOD, baseline=GOOD, production=None, *, basis=None, **bounds):
        blessing, report = artifact("ModelBlessing"), artifact("ModelEvaluation")
        models = {
            name: uri if uri is None else artifact("Model", Path(uri))
            for name, uri in (
                ("candidate", scorers(candidate)),
                ("baseline", scorers(baseline)),
                ("production", production),
            )
        }
        pushed = None
        if production is not None:
            pushed = artifact("PushedModel")
            pushed.set_string_custom_property("pushed_version", VERSION)
            if basis is not None:
                pushed.set_string_custom_property("basis", basis.to_json())
            (serving / VERSION).symlink_to(Path(production) / "Format-Serving")
        run_function(
            ScenarioGate,
            **models,
            pushed=pushed,
            examples=examples,
            blessing=blessing,
            report=report,
            serving=str(serving),
            spec=spec.to_json(),
            gates=json.dumps(BOUNDS | bounds),
            seed=0,
            models_file=str(tmp_path / "models.config"),
            model_name="shop",
        )
        text = (Path(report.uri) / REPORT_FILE).read_text("utf-8")
        return SimpleNamespace(
            blessing=blessing, report=GateReport.model_validate_json(text), **models
        )

    return run


def messages(caplog):
    """What the gates said; TensorFlow has its own say when a model is saved."""
    return [r.getMessage() for r in caplog.records if r.name == "midpg.gates"]


def test_a_good_candidate_is_blessed(run_gate):
    run = run_gate()
    assert run.report.blessed
    assert run.report.notes == []
    assert model_utils.is_model_blessed(run.blessing)
    properties = run.blessing
    assert properties.get_int_custom_property("current_model_id") == run.candidate.id
    assert not properties.has_custom_property("baseline_model_id")
    assert [one.name for one in run.report.slices] == [
        "overall",
        "app/desk",
        "app/phone",
        "web/desk",
        "web/phone",
    ]
    assert run.report.slices[0].rows == 600


def test_a_refusal_is_logged_and_reported(run_gate, caplog):
    with caplog.at_level(logging.ERROR, "midpg.gates"):
        run = run_gate(INVERTED)
    assert not run.report.blessed
    assert not model_utils.is_model_blessed(run.blessing)
    assert [refusal.gate for refusal in run.report.refusals] == [
        "auc.min",
        "auc.min_gain",
        "log_loss.max_increase",
    ]
    assert messages(caplog) == [
        f"refused: {refusal}" for refusal in run.report.refusals
    ]
    assert "gate auc.min, overall: AUC is 0." in caplog.text
    assert "expected at least 0.6" in caplog.text


@pytest.mark.parametrize(("least", "is_judged"), [(6, True), (9, False)])
def test_rows_of_an_item_are_drawn_together(run_gate, least, is_judged):
    few = {"min_rows": 1, "min_conversions": 1, "min_clusters": least}
    report = run_gate(resample_by="item", per_scenario=few).report
    # All 8 items are in each class of each scenario, nearly as often.
    assert [one.judged for one in report.slices[1:]] == [is_judged] * 4


def test_a_baseline_without_numbers_is_no_yardstick(run_gate):
    with pytest.raises(ValueError, match="baseline: expected scores from 0 to 1"):
        run_gate(baseline=math.nan)


def test_a_model_in_production_without_numbers_is_told(run_gate, scorers, caplog):
    run = run_gate(production=scorers(math.nan))
    assert run.report.blessed
    (note,) = run.report.notes
    assert "can't score these rows: model in production: expected scores" in note


def test_the_candidate_is_held_to_the_model_in_production(run_gate, scorers):
    bounds = {"auc": {"min": 0, "min_gain": -0.05}}
    assert run_gate(INVERTED, baseline=INVERTED, **bounds).report.blessed
    run = run_gate(INVERTED, baseline=INVERTED, production=scorers(GOOD), **bounds)
    assert [refusal.figure for refusal in run.report.refusals] == [
        "gain in AUC over production",
        "relative increase in log loss over production",
    ]
    assert set(run.report.slices[0].models) == {"candidate", "baseline", "production"}
    # By which the pusher knows a candidate that is in production already.
    found = run.blessing.get_int_custom_property("baseline_model_id")
    assert found == run.production.id


def test_the_basis_is_noted(run_gate, spec):
    noted = run_gate().blessing.get_string_custom_property("basis")
    assert Basis.from_json(noted) == Basis.of(spec, SUMMARY)


def test_the_rows_that_it_was_trained_on_are_noted(run_gate):
    noted = run_gate().blessing.get_string_custom_property("rows")
    assert json.loads(noted) == {"train": "1f", "eval": "2f"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        # As with each week's new rows: the test split moves on.
        ({"test_start": Moment(False, 1100)}, None),
        (
            {"test_start": Moment(False, 1300), "label": Label(name="bought")},
            'it was trained for another label, {"name":"bought"}; test rows start at'
            " 1200, and when it was trained, they started at 1300, so that it may have"
            " been trained on test rows of now",
        ),
    ],
)
def test_a_model_that_may_know_test_rows_or_predicts_another_label_is_not_compared(
    run_gate, scorers, serving, spec, changes, reason
):
    before = Basis.of(spec, SUMMARY).model_copy(update=changes)
    run = run_gate(production=scorers(GOOD), basis=before)
    assert run.report.blessed
    assert ("production" in run.report.slices[0].models) == (reason is None)
    about = f"no comparison with the model in production, {serving / VERSION}: "
    assert run.report.notes == ([] if reason is None else [about + reason])


def test_a_model_whose_note_cannot_be_read_is_not_compared(run_gate, scorers, serving):
    note = SimpleNamespace(to_json=lambda: '{"label": 1}')
    run = run_gate(production=scorers(GOOD), basis=note)
    assert run.report.notes == [
        f"no comparison with the model in production, {serving / VERSION}: its note of"
        " what it was trained for can't be read"
    ]
    assert "production" not in run.report.slices[0].models


def test_a_refusal_for_calibration_tells_the_shares_of_conversions(run_gate):
    report = run_gate(math.nan).report
    assert report.refusals[-1].gate == "calibration.max_error"
    assert report.notes == [
        "the label is 1 in 25.00% of all train rows, and in 33.33% of all test rows"
    ]


def test_the_report_is_in_utf8_in_any_locale(run_gate, scorers, monkeypatch):
    monkeypatch.setattr("io.text_encoding", lambda found, level=2: found or "ascii")
    (note,) = run_gate(production=scorers(GOOD, "größe")).report.notes
    assert "größe" in note


@pytest.mark.parametrize("reason", ["features", "files", "damage", "signature"])
def test_production_that_cannot_score_is_a_note_not_a_block(
    run_gate, scorers, serving, tmp_path, caplog, reason
):
    production = tmp_path / "gone"
    if reason == "features":
        production = scorers(GOOD, "age")
    elif reason == "damage":
        production.joinpath("Format-Serving").mkdir(parents=True)
        (production / "Format-Serving" / "saved_model.pb").write_bytes(b"no protobuf")
    elif reason == "signature":
        Probability().save(production)
    with caplog.at_level(logging.WARNING, "midpg.gates"):
        run = run_gate(production=production)
    assert run.report.blessed
    (note,) = run.report.notes
    assert note.startswith(
        f"no comparison with the model in production, {serving / VERSION}: it"
        " can't score these rows: "
    )
    assert "\n" not in note
    assert "Graph execution error" not in note
    assert messages(caplog) == [note]
    assert set(run.report.slices[0].models) == {"candidate", "baseline"}


@pytest.mark.parametrize(
    ("others", "lost"),
    [
        ({"labels": [None, None]}, "labels (multivalued)"),
        (
            {"item": [None, None], "colour": [None]},
            "colour (categorical), item (multivalued)",
        ),
        ({"tags": [None]}, "tags (categorical)"),
        ({"tags": [None, None], "item": [None]}, None),
    ],
)
def test_production_whose_features_were_given_up_is_not_compared(
    run_gate, tmp_path, others, lost
):
    tensors = {name: tf.TensorSpec(shape, tf.string) for name, shape in others.items()}
    Exported().save(tmp_path / "served", **tensors)
    report = run_gate(production=tmp_path / "served").report
    assert ("production" in report.slices[0].models) == (lost is None)
    reasons = [note.partition(" these rows: ")[2] for note in report.notes]
    assert reasons == (
        [
            f"it takes {lost}, which the data-set file doesn't have, or has as another"
            " kind of feature"
        ]
        if lost
        else []
    )


def test_versions_of_elsewhere_are_told(run_gate, serving, caplog):
    for version in ("6", "12"):
        (serving / version).mkdir()
        (serving / version / "saved_model.pb").touch()
    with caplog.at_level(logging.WARNING, "midpg.gates"):
        run = run_gate()
    assert run.report.blessed
    assert run.report.notes == [
        "no comparison with a model in production: none of the versions in"
        f" {serving}, of which 12 is the newest, is from these runs"
    ]
    assert messages(caplog) == run.report.notes


@pytest.mark.parametrize("stable", [6, 8])
def test_a_stable_version_of_elsewhere_is_told(run_gate, serving, tmp_path, stable):
    """Of these runs might be 12, which serves nobody; 8 isn't there."""
    for version in ("6", "12"):
        (serving / version).mkdir()
        (serving / version / "saved_model.pb").touch()
    file = tmp_path / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "shop" base_path: "{serving}"'
        ' model_platform: "tensorflow"'
        f' version_labels {{ key: "stable" value: {stable} }} }} }}'
    )
    (note,) = run_gate().report.notes
    told = (
        f"no comparison with a model in production: version 6, stable in {file}, isn't"
        " from these runs, and nothing is known of what it was trained on; to have"
        " candidates compared again, promote a version that is from these runs"
    )
    assert (note == told) == (stable == 6)


def test_a_candidate_that_cannot_score_is_an_error(run_gate, monkeypatch):
    def fail(path, examples):
        raise ValueError("broken")

    monkeypatch.setattr("pipeline.components.scenario_gate.score", fail)
    with pytest.raises(ValueError, match="broken"):
        run_gate()

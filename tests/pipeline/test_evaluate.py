"""Versions in production, judged on rows that have come since."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import log_loss, roc_auc_score

from midpg_tf.spec import DatasetSpec
from pipeline.evaluate import evaluate_version
from pipeline.evaluation.basis import Basis
from pipeline.evaluation.gates import CALIBRATION
from pipeline.paths import RunPaths
from serving.errors import ServingError
from transform.errors import IngestError
from transform.splits import Moment
from transform.summary import Summary

# Each test reads files and scores them with real models.
pytestmark = pytest.mark.slow

COLUMNS = ("channel", "device", "item", "price", "tags", "liked", "importance")
"""Those that the rows need: what splits the data set, `time`, isn't among them."""


@pytest.fixture
def paths(tmp_path, scorers):
    """Version 100 scores well, 200 not at all: its scores fall with the price."""
    paths = RunPaths(tmp_path / "runs" / "shop")
    for version, a in ((100, 1.0), (200, -0.1)):
        target = paths.serving / str(version)
        shutil.copytree(scorers(a) / "Format-Serving", target)
    return paths


@pytest.fixture
def stable(paths):
    """Makes a version stable in the server's model configuration file."""

    def write(version, model="shop", label="stable"):
        paths.models_config.write_text(
            f'model_config_list {{ config {{ name: "{model}" base_path:'
            f' "{paths.serving}" model_platform: "tensorflow"'
            f' version_labels {{ key: "{label}" value: {version} }} }} }}'
        )

    return write


@pytest.fixture
def write(tmp_path):
    def write(rows, name="later.csv"):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return str(tmp_path / name)

    return write


@pytest.fixture
def judged(content, paths):
    def judged(rows, **options):
        spec = DatasetSpec.model_validate(content)
        return evaluate_version(spec, paths, rows, Console(quiet=True), **options)

    return judged


@pytest.fixture
def push(content, store):
    """Notes a push of a version, as a run with other settings does."""

    def push(version, *, basis=None, **changes):
        if basis is None:
            spec = DatasetSpec.model_validate(content | changes)
            start = Moment(False, version)
            summary = Summary(fields=(), counts=(), files={}, test_start=start)
            basis = Basis.of(spec, summary).to_json()
        store.push(
            version,
            report=f"/r{version}",
            examples=f"/e{version}",
            statistics=f"/s{version}",
            basis=basis,
        )

    return push


def test_figures_are_those_of_the_rows_by_scenario(judged, write, make_rows, content):
    content["gates"]["per_scenario"] = {"min_rows": 50}
    rows = [
        row | {"importance": 1 + number % 3}
        for number, row in enumerate(make_rows(500, seed=7))
    ]
    found = judged(write(rows), version=100)
    assert (found.version, found.against) == (100, None)
    by_name = {
        "overall": rows,
        "web/phone": [
            row for row in rows if (row["channel"], row["device"]) == ("web", "phone")
        ],
    }
    slices = {one.name: one for one in found.report.slices}
    assert set(slices) == {"overall", "app/desk", "app/phone", "web/desk", "web/phone"}
    for name, part in by_name.items():
        label = [row["liked"] for row in part]
        weight = [row["importance"] for row in part]
        scores = 1 / (1 + np.exp([-row["price"] for row in part]))
        own = slices[name].models["candidate"]
        assert slices[name].rows == len(part)
        assert own.auc.value == pytest.approx(
            roc_auc_score(label, scores, sample_weight=weight), abs=1e-6
        )
        assert own.log_loss.value == pytest.approx(
            log_loss(label, scores, sample_weight=weight), abs=1e-5
        )
        assert own.auc.low < own.auc.value < own.auc.high
        assert own.calibration.value == pytest.approx(
            np.dot(weight, scores) / np.dot(weight, label), abs=1e-5
        )


def test_the_same_rows_have_the_same_intervals(judged, write, make_rows):
    rows = write(make_rows(300, seed=7))
    assert judged(rows) == judged(rows)


def test_all_files_of_a_pattern_are_read(judged, write, make_rows, tmp_path):
    rows = make_rows(300, seed=7)
    write(rows[:100], "day-1.csv")
    write(rows[100:], "day-2.csv")
    found = judged(str(tmp_path / "day-*.csv"), version=100)
    assert found.report.slices[0].rows == 300


@pytest.mark.parametrize(
    ("config", "expected", "lack"),
    [
        (None, 200, "{} isn't there"),
        ((100, "shop"), 100, None),
        ((100, "another"), 200, "{} has no model shop"),
        ((100, "shop", "canary"), 200, "model shop of {} has none"),
    ],
)
def test_the_version_in_production_is_judged(
    judged, write, make_rows, stable, paths, push, config, expected, lack
):
    push(expected)
    if config:
        stable(*config)
    found = judged(write(make_rows(300)))
    assert found.version == expected
    about = "the newest version is judged, since none is known to be stable: "
    told = [about + lack.format(paths.models_config)] if lack else []
    assert found.report.notes == told


def test_a_model_of_another_name_is_found_in_another_file(
    judged, write, make_rows, stable, paths, tmp_path
):
    stable(100, "ranker")
    file = paths.models_config.rename(tmp_path / "elsewhere.config")
    rows = write(make_rows(300))
    found = judged(rows, models_file=file, model_name="ranker")
    assert found.version == 100
    file.write_text("model_config_list {")
    with pytest.raises(ServingError, match="elsewhere"):
        judged(rows, models_file=file, model_name="ranker")


def test_a_file_of_models_that_was_named_must_be_there(
    judged, write, make_rows, tmp_path
):
    file = tmp_path / "mistyped.config"
    with pytest.raises(FileNotFoundError) as caught:
        judged(write(make_rows(10)), models_file=file)
    assert str(caught.value) == (
        f"{file}: expected the server's model configuration file, found none; correct"
        " --config, or name the version by --version"
    )


@pytest.mark.parametrize("named", ["models_file", "model_name"])
def test_a_model_that_was_named_must_be_in_the_file(
    judged, write, make_rows, stable, paths, named
):
    stable(100, "another")
    value = {"models_file": paths.models_config, "model_name": "shop"}[named]
    with pytest.raises(LookupError) as caught:
        judged(write(make_rows(10)), **{named: value})
    assert str(caught.value) == (
        f"{paths.models_config}: expected the model shop, found another; correct"
        " --model_name or --config"
    )


def test_a_bound_that_breaks_is_told(judged, write, make_rows, content):
    content["gates"]["calibration"] = {"max_error": 0.3}
    rows = [row | {"liked": int(row["price"] > 3)} for row in make_rows(400, seed=7)]
    found = judged(write(rows), version=100)
    (refusal,) = [
        one
        for one in found.report.refusals
        if (one.gate, one.slice) == (CALIBRATION, "overall")
    ]
    assert refusal.found.low > 1.3


def test_another_version_is_compared_with_on_the_same_rows(judged, write, make_rows):
    rows = write(make_rows(400, seed=7))
    found = judged(rows, version=200, against=100)
    assert (found.version, found.against) == (200, 100)
    overall = found.report.slices[0]
    ours, theirs = overall.models["candidate"], overall.models["version 100"]
    gain = overall.gains["version 100"]
    assert gain.value == pytest.approx(ours.auc.value - theirs.auc.value)
    # Scores that fall with the price order rows the other way round.
    assert ours.auc.value == pytest.approx(1 - theirs.auc.value)
    assert overall.verdict("version 100") == "loses"
    assert "gain in AUC over version 100" in {
        one.figure for one in found.report.refusals
    }


@pytest.mark.parametrize("option", ["version", "against"])
def test_a_version_that_is_not_there(judged, write, make_rows, option):
    rows = write(make_rows(10))
    with pytest.raises(LookupError, match="expected version 300, found 100, 200"):
        judged(rows, **{option: 300})


def test_a_stable_version_that_is_not_there(judged, write, make_rows, stable, paths):
    stable(123)
    with pytest.raises(LookupError) as caught:
        judged(write(make_rows(10)))
    assert str(caught.value) == (
        f"stable in {paths.models_config} is version 123, which isn't in"
        f" {paths.serving}; found 100, 200: promote one of these, or name it by"
        " --version"
    )


def test_nothing_was_pushed(judged, write, make_rows, paths):
    shutil.rmtree(paths.serving)
    with pytest.raises(LookupError, match="serving"):
        judged(write(make_rows(10)))


@pytest.mark.parametrize(
    "options", [{"version": 200}, {"version": 100, "against": 200}]
)
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"label": {"name": "bought"}}, 'for another label, {"name":"bought"}'),
        ({"weight": None}, "with another weight, none"),
    ],
)
def test_a_version_for_another_label_or_weight(
    judged, write, make_rows, push, paths, options, changes, problem
):
    push(100)
    push(200, **changes)
    with pytest.raises(ValueError, match="it was trained") as caught:
        judged(write(make_rows(10)), **options)
    assert str(caught.value) == (
        f"{paths.serving}/200: expected a version for the label and the weight of the"
        f" data-set file, found that it was trained {problem}; judge it by the data-set"
        " file that it was trained with"
    )


def test_a_version_of_another_split_is_judged(judged, write, make_rows, push, content):
    data = content["data"] | {"split": {"by": "hash"}}
    push(100, data=data)
    push(200)
    assert judged(write(make_rows(300)), version=100, against=200).report.notes == []


def test_it_is_told_what_is_not_known_of_a_version(judged, write, make_rows, push):
    rows = write(make_rows(300))
    unknown = "so that it isn't known for which label and weight it was trained"
    foreign = [
        f"version {version} isn't from these runs, {unknown}" for version in (100, 200)
    ]
    assert judged(rows, version=200, against=100).report.notes == foreign
    push(200)
    assert judged(rows, version=200, against=100).report.notes == foreign[:1]
    push(100, basis='{"label": 1}')
    assert judged(rows, version=100).report.notes == [
        "version 100 has no note that can be read of what it was trained for, "
        + unknown
    ]


def test_rows_in_error_are_told_with_their_place(judged, write, make_rows):
    rows = make_rows(20)
    rows[4]["price"] = "much"
    with pytest.raises(IngestError, match=r"later.csv, row 6, column 'price'"):
        judged(write(rows))


def test_a_file_without_rows(judged, write):
    with pytest.raises(IngestError, match=r"later.csv: expected rows, found none"):
        judged(write([]))


def test_no_file_of_rows(judged, tmp_path):
    with pytest.raises(IngestError) as caught:
        judged(str(tmp_path / "none.csv"))
    assert str(caught.value) == (
        f"{tmp_path}/none.csv: expected at least one file, found none; correct --rows"
    )


def test_a_scenario_without_conversions_is_told_by_the_version(
    judged, write, make_rows, content
):
    content["gates"]["per_scenario"] = {"min_rows": 50, "min_conversions": 5}
    # By its few items, none of which was liked, chance could have done it.
    del content["gates"]["resample_by"]
    rows = [
        row | {"liked": row["liked"] * (row["channel"] == "web")}
        for row in make_rows(400, seed=7)
    ]
    missing = [
        refusal.bound
        for refusal in judged(write(rows), version=100).report.refusals
        if refusal.gate == "per_scenario.min_conversions"
    ]
    assert len(missing) == 2
    for bound in missing:
        assert bound.endswith("by the scores of version 100; check the labels")


def test_rows_of_one_class_judge_nothing(judged, write, make_rows):
    rows = write([row | {"liked": 0} for row in make_rows(50)])
    with pytest.raises(ValueError, match=rf"rows of {rows}: expected both classes"):
        judged(rows)


def test_a_version_of_other_features(judged, write, make_rows, paths, scorers):
    target = paths.serving / "300"
    shutil.copytree(scorers(1.0, "height") / "Format-Serving", target)
    with pytest.raises(ValueError, match=rf"{target}: it can't score .*height"):
        judged(write(make_rows(50)))

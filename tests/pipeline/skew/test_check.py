"""Logs against the training data of the version that answered."""

from __future__ import annotations

import itertools
import math
import random
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from rich.console import Console
from tensorflow_data_validation.statistics.stats_impl import (
    generate_statistics_in_memory,
)
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from midpg_tf.spec import DatasetSpec
from midpg_tf.spec.source import Drift
from pipeline.components.schema_gen import STATISTICS_OPTIONS
from pipeline.skew.check import check_skew
from pipeline.skew.logs import LogError

pytestmark = pytest.mark.slow


def draw(make_rows, count, seed):
    """Rows whose price is so skewed that a few of them decide equal-width bins."""
    draw = random.Random(seed)  # noqa: S311
    return [
        row | {"price": math.exp(1.5 * draw.gauss(0, 1))}
        for row in make_rows(count, seed=seed)
    ]


@pytest.fixture
def train(store, paths, make_rows, write_examples):
    """Writes what a run leaves behind that pushed a version."""

    def train(version, rows, held_out=None):
        folder = paths.artifacts / "run" / str(version)
        examples = write_examples(folder / "examples" / "Split-train", rows)
        write_examples(folder / "examples" / "Split-test", held_out or rows[:50])
        batch = ExamplesToRecordBatchDecoder().DecodeBatch(examples)
        statistics = folder / "statistics" / "Split-train"
        statistics.mkdir(parents=True)
        (statistics / "FeatureStats.pb").write_bytes(
            generate_statistics_in_memory(batch, STATISTICS_OPTIONS).SerializeToString()
        )
        store.push(
            version,
            report=f"/report{version}",
            examples=str(folder / "examples"),
            statistics=str(folder / "statistics"),
        )
        return folder

    return train


@pytest.fixture
def check(spec, paths, predict_log, write_records):
    def check(
        rows,
        *,
        described=spec,
        versions=(7,),
        each=1,
        min_requests=200,
        version=None,
        **bounds,
    ):
        prefix = paths.root / "logs" / "m"
        shutil.rmtree(prefix.parent, ignore_errors=True)
        answered = itertools.cycle(versions)
        requests = [
            predict_log(rows[start : start + each], version=next(answered))
            for start in range(0, len(rows), each)
        ]
        for number, part in enumerate((requests[::2], requests[1::2])):
            write_records(Path(f"{prefix}-{number}.tfrecord"), *part)
        return check_skew(
            described,
            paths,
            str(prefix),
            Console(quiet=True),
            model="shop",
            bounds=Drift(**bounds),
            min_requests=min_requests,
            version=version,
        )

    return check


def test_rows_of_the_same_distribution(train, check, make_rows):
    train(7, draw(make_rows, 4000, seed=0))

    # Nothing is allowed but chance.
    report = check(draw(make_rows, 1200, seed=1), categorical=0.001, numeric=0.001)

    assert report.drifted == []
    assert report.rows == 1200
    assert report.notes == []
    scenarios = {"overall", "app/desk", "app/phone", "web/desk", "web/phone"}
    inside = {"item", "price", "tags"}
    assert {(one.scenario, one.feature) for one in report.comparisons} == {
        ("overall", "channel"),
        ("overall", "device"),
        *((scenario, feature) for scenario in scenarios for feature in inside),
    }


CHANGES = {
    "app/desk": ("price", lambda row: row["price"] * 100),
    "web/desk": ("item", lambda row: "i0"),
    "app/phone": ("tags", lambda row: ""),
}


def changed(row):
    """Changes one feature in each scenario but web/phone."""
    scenario = f"{row['channel']}/{row['device']}"
    if scenario not in CHANGES:
        return row
    feature, change = CHANGES[scenario]
    return row | {feature: change(row)}


def test_the_feature_and_the_scenario_are_named(train, check, make_rows):
    train(7, draw(make_rows, 2000, seed=0))

    report = check([changed(row) for row in draw(make_rows, 1200, seed=1)])

    found = {one.scenario: one.feature for one in report.drifted}
    assert found == {scenario: feature for scenario, (feature, _) in CHANGES.items()}
    assert len(report.drifted) == 3
    assert report.comparisons[:3] == report.drifted


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        (
            {"price": {"kind": "categorical"}, "item": {"kind": "numeric"}},
            [
                "not compared, since training had it as another kind: item (categorical"
                " then, numeric now), price (numeric then, categorical now)"
            ],
        ),
        (
            {"tags": {"kind": "categorical"}},
            [
                "not compared, since training had it as another kind: tags (multivalued"
                " then, categorical now)"
            ],
        ),
        (
            {"tags": None, "price": None},
            [
                "not compared, since the data-set file doesn't name it, and training"
                " had it: price, tags"
            ],
        ),
    ],
)
def test_features_of_another_kind_and_those_that_have_gone_are_named(
    train, check, make_rows, content, changes, notes
):
    train(7, draw(make_rows, 400, seed=0))
    del content["gates"]["resample_by"]
    features = content["features"] | changes
    content["features"] = {k: v for k, v in features.items() if v is not None}

    report = check(
        draw(make_rows, 300, seed=1),
        described=DatasetSpec.model_validate(content),
        min_requests=40,
    )

    assert report.notes == notes
    compared = {one.feature for one in report.comparisons}
    assert compared == {"channel", "device", "item", "price", "tags"} - changes.keys()


def test_a_field_of_the_scenario_that_was_of_another_kind(
    train, check, make_rows, content
):
    train(7, draw(make_rows, 400, seed=0))
    content["features"]["tags"] = {"kind": "categorical"}
    content["scenario"] = ["channel", "tags"]
    message = r"scenario: expected .* found tags \(multivalued then, categorical now\)"
    with pytest.raises(ValueError, match=message):
        check(
            draw(make_rows, 300, seed=1),
            described=DatasetSpec.model_validate(content),
            min_requests=100,
        )


def test_the_version_that_answered_decides(train, check, make_rows, monkeypatch):
    read = []

    def statistics(pattern, spec, edges):
        records = tf.data.TFRecordDataset(tf.io.gfile.glob(pattern), "GZIP")
        count = sum(1 for _ in records)
        read.append((pattern, edges["price"][0], count))
        return {"overall": DatasetFeatureStatistics(num_examples=300)}

    monkeypatch.setattr("pipeline.skew.check.statistics", statistics)
    rows = draw(make_rows, 300, seed=0)
    folders = {
        version: train(version, [row | {"price": version} for row in rows])
        for version in (7, 8)
    }
    other = (
        "no run here has pushed version 9, which answered; compared with the training"
        " data of version {}"
    )
    mixed = (
        "compared are the rows that version {} answered; left out: {}; --version"
        " chooses another"
    )
    for asked, versions, answered, origin, count, notes in (
        (None, (7,), 7, 7, 300, []),
        (None, (8,), 8, 8, 300, []),
        (None, (9,), 9, 8, 300, [other.format(8)]),
        (None, (7, 7, 8), 7, 7, 200, [mixed.format(7, "100 of version 8")]),
        (8, (7, 7, 8), 8, 8, 100, [mixed.format(8, "200 of version 7")]),
        (None, (9, 9, 7), 7, 7, 100, [mixed.format(7, "200 of version 9")]),
    ):
        report = check(rows, versions=versions, version=asked, min_requests=100)
        assert (report.version, report.notes) == (answered, notes)
        training, held_out, production = read[-3:]
        pattern = str(folders[origin] / "examples" / "Split-train" / "*")
        assert training == (pattern, origin, 300)
        assert held_out == (pattern.replace("train", "test"), origin, 50)
        assert production[1:] == (origin, count)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (9, "a run here has pushed, found 9, which is none of 7, 8"),
        (8, "has answered requests in the logs, found 8, which is none of 7, 9"),
    ],
)
def test_a_version_that_cannot_be_compared(train, check, make_rows, version, message):
    rows = draw(make_rows, 300, seed=0)
    for pushed in (7, 8):
        train(pushed, rows)
    with pytest.raises(
        LookupError, match=f"--version: expected a version that {message}"
    ):
        check(rows, versions=(7, 9), version=version)


def test_too_few_requests(train, check, make_rows):
    train(7, draw(make_rows, 100, seed=0))
    message = (
        "expected at least 200 requests that version 7 answered, found an effective"
        " number of 50; log more of them"
    )
    with pytest.raises(LogError, match=message):
        check(draw(make_rows, 500, seed=1), each=10)


def test_training_data_that_is_gone(train, check, make_rows):
    folder = train(7, draw(make_rows, 100, seed=0))
    shutil.rmtree(folder / "examples")
    message = "Split-train: expected what version 7 was trained on, found nothing"
    with pytest.raises(FileNotFoundError, match=message):
        check(draw(make_rows, 300, seed=1))


def test_no_run(check, make_rows):
    with pytest.raises(FileNotFoundError, match="run `midpg run` first"):
        check(make_rows(300))


def test_no_push(store, check, make_rows):
    store.push(7, report="/r", examples="/e", statistics="/s", pushed=False)
    with pytest.raises(LookupError, match="expected a model that a run has pushed"):
        check(make_rows(300))

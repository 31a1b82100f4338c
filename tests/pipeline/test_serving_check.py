"""Served scores are compared with offline ones, row by row."""

from __future__ import annotations

import contextlib
import shutil
from types import SimpleNamespace

import pytest
import tensorflow as tf
from rich.console import Console

from pipeline import serving_check
from pipeline.paths import RunPaths
from pipeline.serving_check import ServingMismatchError, check_serving
from serving.embedded.server import ModelServer

pytestmark = pytest.mark.slow


@pytest.fixture
def check(tmp_path, monkeypatch, prepared, trained):
    """Serves a model in this process and compares, on what the session prepared."""
    paths = RunPaths(tmp_path)
    folders = {
        "examples": tmp_path / "raw",
        "transform_graph": prepared.graph,
        "transformed_examples": prepared.transformed,
        "model_run": trained.model_run,
    }
    shutil.copytree(prepared.raw, folders["examples"])
    results = SimpleNamespace(
        newest=lambda _, output: SimpleNamespace(uri=folders[output])
    )

    @contextlib.contextmanager
    def serve(*, model_name, model_base_path):
        with ModelServer(
            model_name, model_base_path, port=-1, isolate_models=False
        ) as server:
            yield SimpleNamespace(target=server.target, version=7)

    monkeypatch.setattr(serving_check, "Results", lambda _: results)
    monkeypatch.setattr(serving_check, "ServerProcess", serve)

    def run(model=trained):
        shutil.copytree(model.model / "Format-Serving", paths.serving / "7")
        return check_serving(prepared.spec, paths, console)

    console = Console(width=200, highlight=False)
    return SimpleNamespace(run=run, console=console, raw=folders["examples"])


def test_every_test_row_is_compared(check):
    with check.console.capture() as captured:
        found = check.run()
    assert found.rows == 80
    assert found.scenarios == 4
    assert found.difference <= 1e-5
    assert 0 < found.unknown < 1
    line = " ".join(captured.get().split())
    assert line.startswith("served version 7: 80 test rows of 4 scenarios over gRPC in")
    assert f"unknown scenario: {found.unknown:.3f}" in line


def test_another_model_than_the_measured_one_is_skew(check, train):
    other = train(seed=3, epochs=1)
    message = "within 1e-05 of the offline ones, found a"
    with pytest.raises(ServingMismatchError, match=message):
        check.run(other)


def test_rows_that_are_transformed_otherwise_are_skew(check):
    # Three rows of which Beam never wrote the features.
    path = check.raw / "Split-test" / "data.gz"
    records = list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for number, record in enumerate(records):
            example = tf.train.Example.FromString(record)
            if number < 3:
                price = example.features.feature["price"].float_list
                price.value[0] += 0.25
            writer.write(example.SerializeToString())
    message = "found 3 of 80 rows with other features"
    with pytest.raises(ServingMismatchError, match=message):
        check.run()

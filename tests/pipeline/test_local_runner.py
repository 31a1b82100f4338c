"""Where runs keep their files, and what the tfx command runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import StandardOptions
from tfx.dsl.components.common.resolver import RESOLVER_CONFIG

from midpg_tf.spec import SpecError
from pipeline import local_runner
from pipeline.local_runner import local_pipeline
from pipeline.paths import RunPaths, home
from pipeline.run_lock import only_run
from transform.runner import IN_PROCESS


@pytest.fixture
def ran(monkeypatch):
    """The pipelines that the local runner was given instead of running them."""
    found = []
    monkeypatch.setattr(StandardOptions, "DEFAULT_RUNNER", "DirectRunner")
    monkeypatch.setattr(
        local_runner.tfx.orchestration.LocalDagRunner,
        "run",
        lambda self, pipeline: found.append(pipeline),
    )
    return found


def test_files_lie_beside_the_data_set_file(tmp_path, monkeypatch):
    monkeypatch.delenv("MIDPG_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert home(tmp_path / "a" / "shop.yaml") == tmp_path / "a" / ".midpg"
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert home(tmp_path.__class__("shop.yaml")) == tmp_path / "a" / ".midpg"


def test_files_lie_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDPG_ROOT", str(tmp_path / "runs"))
    assert home(tmp_path / "shop.yaml") == tmp_path / "runs"


def test_the_pipeline_keeps_everything_in_its_folder(tmp_path, spec):
    pipeline = local_pipeline(spec, RunPaths(tmp_path / "shop"), enable_cache=False)
    assert pipeline.pipeline_info.pipeline_root == str(tmp_path / "shop" / "artifacts")
    assert not pipeline.enable_cache
    store = pipeline.metadata_connection_config.sqlite.filename_uri
    assert store == str(tmp_path / "shop" / "metadata.sqlite")
    pusher = next(c for c in pipeline.components if c.id == "NewModelPusher")
    serving = str(tmp_path / "shop" / "serving")
    assert f'"{serving}"' in pusher.exec_properties["push_destination"]


@pytest.mark.parametrize("file", [None, "/etc/serving/models.config"])
def test_the_file_that_says_what_is_in_production(tmp_path, spec, file):
    options = {"models_file": Path(file), "model_name": "ranker"} if file else {}
    pipeline = local_pipeline(spec, RunPaths(tmp_path / "shop"), **options)
    (node,) = (c for c in pipeline.components if c.id == "ProductionModel")
    found = node.exec_properties[RESOLVER_CONFIG]
    assert found["models_file"] == (file or str(tmp_path / "shop" / "models.config"))
    assert found["model_name"] == ("ranker" if file else "shop")


def test_the_tfx_command_runs_the_file_that_the_environment_names(
    write_dataset, make_rows, monkeypatch, ran, tmp_path
):
    file = write_dataset(make_rows(10))
    monkeypatch.setenv("MIDPG_SPEC", str(file))
    monkeypatch.setenv("MIDPG_ROOT", str(tmp_path / "runs"))
    local_runner.main()
    (pipeline,) = ran
    assert pipeline.pipeline_info.pipeline_name == "shop"
    root = str(tmp_path / "runs" / "shop" / "artifacts")
    assert pipeline.pipeline_info.pipeline_root == root
    # With arguments of the pipeline, TFX would make a distribution of itself.
    assert StandardOptions.DEFAULT_RUNNER == IN_PROCESS
    assert pipeline.beam_pipeline_args == []


def test_the_tfx_command_keeps_to_one_run_a_folder(
    write_dataset, make_rows, monkeypatch, ran, tmp_path
):
    monkeypatch.setenv("MIDPG_SPEC", str(write_dataset(make_rows(10))))
    monkeypatch.setenv("MIDPG_ROOT", str(tmp_path / "runs"))
    with (
        only_run(RunPaths(tmp_path / "runs" / "shop")),
        pytest.raises(RuntimeError, match="expected no other run in this folder"),
    ):
        local_runner.main()
    assert ran == []


def test_the_tfx_command_keeps_to_one_data_set_file_a_folder(
    write_dataset, make_rows, monkeypatch, ran, tmp_path
):
    file = write_dataset(make_rows(10))
    monkeypatch.setenv("MIDPG_ROOT", str(tmp_path / "runs"))
    monkeypatch.setenv("MIDPG_SPEC", str(file))
    local_runner.main()
    copy = shutil.copy(file, tmp_path / "copy.yaml")
    monkeypatch.setenv("MIDPG_SPEC", str(copy))
    with pytest.raises(RuntimeError, match=r"copy\.yaml, found those of .*shop\.yaml"):
        local_runner.main()
    assert len(ran) == 1


def test_a_wrong_file_is_an_error_of_the_tfx_command(tmp_path, monkeypatch, ran):
    monkeypatch.setenv("MIDPG_SPEC", str(tmp_path / "none.yaml"))
    with pytest.raises(SpecError, match=r"none\.yaml: expected a data-set file"):
        local_runner.main()
    assert ran == []


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_file_the_tfx_command_says_how_to_name_one(monkeypatch, ran, value):
    monkeypatch.delenv("MIDPG_SPEC", raising=False)
    if value is not None:
        monkeypatch.setenv("MIDPG_SPEC", value)
    with pytest.raises(SpecError, match=r"MIDPG_SPEC: expected .* export MIDPG_SPEC="):
        local_runner.main()
    assert ran == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([local_runner.__file__], "SpecError: MIDPG_SPEC: expected the data-set file"),
        (["-c", "import pipeline.create_pipeline"], ""),
    ],
    ids=["as a file", "as a module"],
)
def test_nothing_need_be_set_or_imported_before(arguments, told):
    unset = {"MIDPG_SPEC", "TF_USE_LEGACY_KERAS"}
    found = subprocess.run(
        [sys.executable, *arguments],
        env={k: v for k, v in os.environ.items() if k not in unset},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == (1 if told else 0), found.stderr
    assert told in found.stderr

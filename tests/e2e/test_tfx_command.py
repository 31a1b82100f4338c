"""The tfx command, from another folder, on TFRecord files of each split."""

import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.run import versions

pytestmark = pytest.mark.e2e

RUNNER = Path(__file__).parents[2] / "pipeline" / "local_runner.py"
SPLITS = {"train": slice(0, 2600), "eval": slice(2600, 3000), "test": slice(3000, None)}


@pytest.fixture
def shop(make_shop, rows):
    """A shop whose rows are in TFRecord files."""
    shop = make_shop(
        name="records",
        data={
            "format": "tfrecord",
            "path": "splits",
            "split": {"by": "files"} | {name: f"{name}-*.gz" for name in SPLITS},
        },
    )
    (shop.folder / "splits").mkdir()
    for name, members in SPLITS.items():
        path = shop.folder / "splits" / f"{name}-0.gz"
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for row in rows[members]:
                writer.write(serialize(row))
    return shop


def serialize(row):
    """A tf.Example as other systems write it: integers, floats and bytes."""
    example = tf.train.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        elif isinstance(value, float):
            feature.float_list.value.append(value)
        else:
            feature.int64_list.value.append(value)
    return example.SerializeToString()


def test_create_and_run_push_a_model(shop, environment, tmp_path):
    variables = environment(
        MIDPG_SPEC=str(shop.file),
        TF_USE_LEGACY_KERAS="1",
        MIDPG_ROOT=str(shop.home),
        LOCAL_HOME=str(tmp_path / "tfx"),
    )

    def tfx(*arguments):
        return subprocess.run(
            ["tfx", *arguments, "--engine=local"],  # noqa: S607  found as users find it
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    created = tfx("pipeline", "create", f"--pipeline-path={RUNNER}")
    assert created.returncode == 0, created.stdout
    assert 'Pipeline "records" created successfully' in created.stdout
    assert not shop.paths.metadata.exists()

    finished = tfx("run", "create", "--pipeline-name=records")
    assert finished.returncode == 0, finished.stdout
    run = shop.record(known=0, before=set())
    assert len(run.states) == 12
    assert set(run.states.values()) == {"COMPLETE"}
    assert run.outputs["NewModelPusher", "pushed_model"].properties["pushed"] == 1
    assert len(versions(shop.paths.serving)) == 1

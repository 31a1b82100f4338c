"""Two runs in one folder: the second one is told of the first."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pipeline.paths import RunPaths
from pipeline.run import run_pipeline
from pipeline.run_lock import only_run

HOLD = """
import sys
from pathlib import Path
from pipeline.paths import RunPaths
from pipeline.run_lock import only_run

with only_run(RunPaths(Path(sys.argv[1]))):
    print("running", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_run(paths):
    """A run in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, paths.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "running\n"
        yield process
        process.kill()


def test_a_second_run_is_refused(spec, paths, other_run):
    message = re.escape(f"{paths.root}: expected no other run in this folder, found")
    with pytest.raises(RuntimeError, match=message):
        run_pipeline(spec, paths)
    assert not paths.artifacts.exists()
    assert not paths.metadata.exists()


def test_another_folder_is_free(tmp_path, other_run):
    with only_run(RunPaths(tmp_path / "other")):
        pass


def test_a_killed_run_leaves_the_folder_free(paths, other_run):
    other_run.kill()
    other_run.wait()
    for _ in range(2):
        with only_run(paths):
            pass

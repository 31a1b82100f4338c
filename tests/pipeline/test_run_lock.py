"""Two runs in one folder: the second one is told of the first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


@pytest.fixture
def start(tmp_path):
    """Starts a run of a data-set file in the folder; gives whose that is then."""
    folder = RunPaths(tmp_path / "runs" / "shop")

    def start(file):
        with only_run(folder._replace(described_in=file)):
            pass
        return Path(folder.data_set_file.read_text().removesuffix("\n"))

    return start


@pytest.fixture
def files(tmp_path):
    found = [tmp_path / name for name in ("shop.yaml", "copy.yaml")]
    for file in found:
        file.write_text("name: shop\n")
    return found


def test_a_folder_is_one_data_set_files(start, files, tmp_path):
    ours, other = files
    for _ in range(2):
        assert start(ours) == ours
    folder = tmp_path / "runs" / "shop"
    kept = folder / "data_set_file"
    told = (
        f"{folder}: expected the runs of {other}, found those of {ours}, which has the"
        " same `name`; give this one another name, or choose another folder with --root"
        f" or MIDPG_ROOT; if both describe the same data, delete {kept}"
    )
    with pytest.raises(RuntimeError, match=f"^{re.escape(told)}$"):
        start(other)
    assert start(ours) == ours
    kept.unlink()
    assert start(other) == other
    assert {file.name for file in folder.iterdir()} == {"run.lock", "data_set_file"}


def test_a_folder_goes_with_a_data_set_file_that_moves(start, files, tmp_path):
    ours, other = files
    start(ours)
    ours.rename(tmp_path / "moved.yaml")
    assert start(tmp_path / "moved.yaml") == tmp_path / "moved.yaml"
    with pytest.raises(RuntimeError, match=r"moved\.yaml, which has the same `name`"):
        start(other)


def test_a_folder_that_is_gone_is_nobodys(start, files, tmp_path):
    (tmp_path / "old").mkdir()
    start(files[0].rename(tmp_path / "old" / "shop.yaml"))
    (tmp_path / "old" / "shop.yaml").unlink()
    (tmp_path / "old").rmdir()
    (tmp_path / "old").touch()
    assert start(files[1]) == files[1]


def test_a_data_set_file_has_many_paths(start, files, tmp_path, monkeypatch):
    """A link to the newest release is the same path when it is set on."""
    ours, other = files
    link = tmp_path / "current.yaml"
    link.symlink_to(ours)
    assert start(link) == link
    monkeypatch.chdir(tmp_path)
    assert start(Path("shop.yaml")) == link
    link.unlink()
    link.symlink_to(other)
    assert start(link) == link
    with pytest.raises(RuntimeError, match=r"found those of .*current\.yaml"):
        start(ours)


def test_a_relative_path_is_kept_whole(start, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert start(Path("shop.yaml")) == files[0]


def test_a_data_set_file_that_may_not_be_seen_is_anothers(start, files, monkeypatch):
    start(files[0])

    def fail(*_):
        raise PermissionError

    monkeypatch.setattr(Path, "samefile", fail)
    with pytest.raises(RuntimeError, match=r"found those of .*shop\.yaml"):
        start(files[1])


def test_another_data_set_files_run_writes_nothing(spec, paths, files):
    with only_run(paths._replace(described_in=files[0])):
        pass
    with pytest.raises(RuntimeError, match="give this one another name"):
        run_pipeline(spec, paths._replace(described_in=files[1]))
    assert not paths.artifacts.exists()
    assert not paths.metadata.exists()

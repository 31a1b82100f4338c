from __future__ import annotations

import shutil

import pytest

from pipeline.paths import RunPaths
from pipeline.rollbacks import (
    model_digest,
    newest_version,
    note_rollback,
    rolled_back_as,
)


@pytest.fixture
def add(paths):
    """Pushes a version whose only file has the content."""

    def add(version, content=""):
        folder = paths.serving / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(content)
        return folder

    return add


def test_a_rollback_where_no_run_has_been(tmp_path):
    paths = RunPaths(tmp_path / "none")
    assert not note_rollback(paths, 3)
    assert paths.rolled_back.read_text() == "3\n"


@pytest.mark.parametrize(
    ("taken_back", "stable", "expected"),
    [
        ([], 7, 9),
        ([7], 8, 9),
        ([9], 9, 9),  # promoted by name since
        ([7, 9], 8, None),
        ([9], None, None),
    ],
)
def test_the_newest_version_that_was_not_taken_back(
    paths, add, taken_back, stable, expected
):
    add(7)
    add(9)
    for version in taken_back:
        note_rollback(paths, version)
    if expected:
        assert newest_version(paths, stable) == expected
    else:
        with pytest.raises(LookupError, match="found 9 as the newest, which was"):
            newest_version(paths, stable)


def test_a_model_that_was_taken_back_is_known_by_its_files(paths, add):
    good, bad = add(7, "good"), add(8, "bad")
    digest = model_digest(bad)
    assert rolled_back_as(paths.rolled_back, digest) is None
    assert note_rollback(paths, 8)
    shutil.rmtree(bad)
    assert rolled_back_as(paths.rolled_back, digest) == "8"
    assert rolled_back_as(paths.rolled_back, model_digest(add(9, "bad"))) == "8"
    assert rolled_back_as(paths.rolled_back, model_digest(good)) is None


def test_other_requests_for_the_warm_up_make_no_other_model(add):
    folder = add(7)
    digest = model_digest(folder)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_text("requests")
    assert model_digest(folder) == digest


def test_a_model_that_was_taken_back_is_known_by_what_it_was_made_of(paths, add):
    folder = add(8, "bad")
    digest = model_digest(folder)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "midpg_made_of").write_text("f8")
    # It has that only as a version.
    assert model_digest(folder) == digest
    add(9, "copied from elsewhere")
    for version in (8, 9):
        note_rollback(paths, version)
    assert rolled_back_as(paths.rolled_back, "other files", "f8") == "8"
    assert rolled_back_as(paths.rolled_back, "other files", "f9") is None
    assert rolled_back_as(paths.rolled_back, digest, "f9") == "8"


def test_a_version_whose_files_are_gone_is_taken_back_by_its_number(paths, add):
    folder = add(9)
    digest = model_digest(folder)
    shutil.rmtree(folder)
    assert not note_rollback(paths, 9)
    assert paths.rolled_back.read_text() == "9\n"
    add(9)
    assert rolled_back_as(paths.rolled_back, digest) is None
    with pytest.raises(LookupError, match="found 9 as the newest, which was"):
        newest_version(paths, None)

from __future__ import annotations

import pytest

from pipeline.rollbacks import newest_version, note_rollback


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
    paths, taken_back, stable, expected
):
    for version in (7, 9):
        folder = paths.serving / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").touch()
    for version in taken_back:
        note_rollback(paths, version)
    if expected:
        assert newest_version(paths, stable) == expected
    else:
        with pytest.raises(LookupError, match="found 9 as the newest, which was"):
            newest_version(paths, stable)

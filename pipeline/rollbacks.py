"""The versions that were taken back, so that none comes again by mistake."""

from __future__ import annotations

from pipeline.paths import RunPaths
from serving.versions import find_versions


def note_rollback(paths: RunPaths, version: int) -> None:
    """Keeps that a version was taken back, for `newest_version`.

    Args:
        paths: Where the data set's runs keep their files.
        version: The version.
    """
    paths.root.mkdir(parents=True, exist_ok=True)
    with paths.rolled_back.open("a") as file:
        file.write(f"{version}\n")


def newest_version(paths: RunPaths, stable: int | None) -> int:
    """The newest version that was pushed, unless it was taken back since.

    Args:
        paths: Where the data set's runs keep their files.
        stable: The version that is stable; it is no matter whether it ever wasn't.

    Raises:
        LookupError: There is no version, or `midpg rollback` took the newest back.
    """
    found = find_versions(paths.serving)
    if not found.versions:
        raise LookupError(found.problem)
    newest = max(found.versions)
    file = paths.rolled_back
    taken_back = file.read_text().split() if file.exists() else []
    if newest != stable and str(newest) in taken_back:
        raise LookupError(
            f"expected a version to promote that wasn't rolled back, found"
            f" {newest} as the newest, which was; push another one, or name it: midpg"
            f" promote SPEC.yaml {newest}"
        )
    return newest

"""The versions that were taken back, so that none comes again by mistake."""

from __future__ import annotations

from pathlib import Path

from pipeline.code_digest import file_digest
from pipeline.paths import RunPaths
from serving.signatures import WARMUP_FILE
from serving.versions import find_versions

TRAINING_DIGEST_FILE = "assets.extra/midpg_made_of"
"""A file of a version that was pushed: a digest of rows, settings and code.

Trained again, they give other weights, by the order of threads, and other files.
"""


def note_rollback(paths: RunPaths, version: int) -> bool:
    """Keeps that a version was taken back, and what it was, if its files are there.

    Args:
        paths: Where the data set's runs keep their files.
        version: The version.

    Returns:
        Whether its files are there.
    """
    paths.root.mkdir(parents=True, exist_ok=True)
    folder = paths.serving / str(version)
    words = [str(version)]
    if folder.exists():
        words.append(model_digest(folder))
    noted = folder / TRAINING_DIGEST_FILE
    if noted.exists():
        words.append(noted.read_text())
    with paths.rolled_back.open("a") as file:
        file.write(f"{' '.join(words)}\n")
    return len(words) > 1


def model_digest(folder: Path) -> str:
    """Digests the files of a model, which are the same under another number.

    Its warm-up requests don't count: the infrastructure gate may write them anew. Nor
    does what it was made of, which a model has when it has been pushed.

    Args:
        folder: The model's folder.
    """
    files = {file for file in folder.rglob("*") if file.is_file()}
    others = {folder / WARMUP_FILE, folder / TRAINING_DIGEST_FILE}
    return file_digest(sorted(files - others), size=16)


def rolled_back_as(file: Path, *digests: str) -> str | None:
    """The version under which a model was taken back; None if it wasn't.

    Args:
        file: What `note_rollback` writes; it may be missing.
        *digests: The model's `model_digest`, and that of what it was made of.
    """
    noted = _noted(file).items()
    known = {*digests}
    return next((version for version, found in noted if found & known), None)


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
    if newest != stable and str(newest) in _noted(paths.rolled_back):
        raise LookupError(
            f"expected a version to promote that wasn't rolled back, found"
            f" {newest} as the newest, which was; push another one, or name it: midpg"
            f" promote SPEC.yaml {newest}"
        )
    return newest


def _noted(file: Path) -> dict[str, set[str]]:
    """The digests of each version that was taken back."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {words[0]: {*words[1:]} for line in lines if (words := line.split())}

"""The versions that were taken back, so that none comes again by mistake."""

from __future__ import annotations

from pathlib import Path

from pipeline.code_digest import file_digest
from pipeline.paths import RunPaths
from serving.embedded.warmup import WARMUP_FILE
from serving.versions import find_versions


def note_rollback(paths: RunPaths, version: int) -> None:
    """Keeps that a version was taken back, and what it was.

    Args:
        paths: Where the data set's runs keep their files.
        version: The version.
    """
    paths.root.mkdir(parents=True, exist_ok=True)
    # Of a folder that is gone it is the digest of no file, which is no model's.
    digest = model_digest(paths.serving / str(version))
    with paths.rolled_back.open("a") as file:
        file.write(f"{version} {digest}\n")


def model_digest(folder: Path) -> str:
    """Digests the files of a model, which are the same under another number.

    Its warm-up requests don't count: the infrastructure gate may write them anew.

    Args:
        folder: The model's folder.
    """
    files = (file for file in folder.rglob("*") if file.is_file())
    return file_digest(sorted({*files} - {folder / WARMUP_FILE}), size=16)


def rolled_back_as(file: Path, digest: str) -> str | None:
    """The version under which a model was taken back; None if it wasn't.

    Args:
        file: What `note_rollback` writes; it may be missing.
        digest: The model's `model_digest`.
    """
    noted = _noted(file).items()
    return next((version for version, found in noted if found == digest), None)


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


def _noted(file: Path) -> dict[str, str]:
    """The digest of each version that was taken back."""
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(line.partition(" ")[::2] for line in lines)

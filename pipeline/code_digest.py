"""Digests of what TFX's cache doesn't look at: a component's code, and other files."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

DATA_CODE = ("midpg_tf.names", "midpg_tf.spec", "transform")
"""What reads rows and transforms them."""

TRAINING_CODE = (
    "midpg_tf",
    "transform",
    "pipeline.code_digest",
    "pipeline.trainer",
    "pipeline.training_run",
    "pipeline.warm_start",
    "serving.export",
    "serving.signatures",
)
"""What trains and exports a model."""

JUDGING_CODE = (
    *DATA_CODE,
    "pipeline.chance",
    "pipeline.components",
    "pipeline.evaluation",
    "pipeline.records",
    "pipeline.value_counts",
    "serving",
)
"""What judges data and models, scores them and serves them."""


def code_digest(*names: str) -> str:
    """Digests Python sources by their names and contents.

    Args:
        *names: Packages, with all modules below them, and modules.

    Returns:
        The same text for the same sources, wherever they are installed.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(names):
        for path, file in _sources(name):
            content = file.read_bytes()
            digest.update(f"{name}\0{path}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def file_digest(files: Iterable[Path], size: int) -> str:
    """Digests the contents of files in their order.

    Args:
        files: The files.
        size: Bytes of the digest.
    """
    digest = hashlib.blake2b(digest_size=size)
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, hashlib.blake2b).digest())
    return digest.hexdigest()


def _sources(name: str) -> Iterator[tuple[str, Path]]:
    """A module's file, or those of a package by their paths in it, sorted."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"expected a module with a file, found none: {name}")
    origin = Path(spec.origin)
    if spec.submodule_search_locations is None:
        yield origin.name, origin
        return
    files = origin.parent.rglob("*.py")
    yield from sorted(
        (file.relative_to(origin.parent).as_posix(), file) for file in files
    )

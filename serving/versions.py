"""Finds the versions of a model on a file system."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import tensorflow as tf

_NUMBER = re.compile(r"[0-9]{1,19}")
_MAX_VERSION = 2**63 - 1

#: What the files of a version look like: (relative path, bytes, modified ns) of each.
Fingerprint = frozenset[tuple[str, int, int]]


@dataclasses.dataclass(frozen=True)
class Found:
    """What one look at a base path found.

    Attributes:
        versions: Directory of each complete version, by number.
        problem: Why there is no version, and what is expected; empty if there is one.
    """

    versions: dict[int, str]
    problem: str = ""


def find_versions(base_path: str | os.PathLike[str]) -> Found:
    """Looks for versions: integer sub-folders that hold `saved_model.pb`.

    Whoever publishes a version copies `saved_model.pb` last (TFX's Pusher does), so a
    folder without it is a version that is still being copied.

    Args:
        base_path: A directory, on any file system that TensorFlow reads.

    Returns:
        The complete versions, or why there is none. A base path that is missing or
        can't be read is such a reason, never an exception.
    """
    base_path = os.fspath(base_path)
    try:
        if not tf.io.gfile.isdir(base_path):
            return Found({}, f"base path {base_path} is no directory")
        versions, incomplete = {}, []
        for name in sorted(_list(base_path)):
            if not _NUMBER.fullmatch(name) or int(name) > _MAX_VERSION:
                continue
            path = tf.io.gfile.join(base_path, name)
            if tf.io.gfile.exists(tf.io.gfile.join(path, "saved_model.pb")):
                versions[int(name)] = path
            else:
                incomplete.append(name)
    except tf.errors.OpError as error:
        return Found({}, f"base path {base_path} can't be read: {error.message}")
    except OSError as error:
        return Found({}, f"base path {base_path} can't be read: {error.strerror}")
    if versions:
        return Found(versions)
    if incomplete:
        return Found(
            {},
            f"base path {base_path}: no saved_model.pb yet in {', '.join(incomplete)}",
        )
    return Found(
        {},
        f"base path {base_path} has no sub-folder whose name is a version number, such"
        " as 1, with a saved_model.pb in it",
    )


def _list(folder: str) -> list[str]:
    if "://" not in folder:
        # TensorFlow lists nothing where one name isn't UTF-8.
        return [entry.name for entry in Path(folder).iterdir()]
    # Object stores list folders with a slash at the end.
    return [entry.rstrip("/") for entry in tf.io.gfile.listdir(folder)]


def fingerprint(path: str) -> Fingerprint:
    """Returns what tells the state of a version's files from another state.

    Args:
        path: Directory of the version.

    Returns:
        Path, size and time of each file; empty if the directory has gone, or holds
        names that aren't UTF-8.
    """
    files = set()
    try:
        for folder, _, names in tf.io.gfile.walk(path):
            for name in names:
                file = tf.io.gfile.join(folder, name)
                stat = tf.io.gfile.stat(file)
                files.add((file, stat.length, stat.mtime_nsec))
    except (tf.errors.OpError, UnicodeDecodeError):
        return frozenset()
    return frozenset(files)

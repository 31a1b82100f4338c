"""Which files and columns a data-set description names, checked before any Beam run."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from apache_beam.io.filesystems import FileSystems

from midpg_tf.spec import (
    ColumnSplit,
    DatasetSpec,
    FileSplit,
    HashSplit,
    MultivaluedFeature,
    TimeSplit,
    did_you_mean,
)
from transform.errors import IngestError
from transform.readers import READERS

_MAX_PROBLEMS = 20
_MAX_COLUMNS = 30


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A file of the data set.

    Attributes:
        path: The file, on any file system that Beam knows.
        split: The split that all its rows belong to; None if each row decides.
        state: Its size in bytes, and when it was written, in seconds since 1970.
    """

    path: str
    split: str | None = None
    state: tuple[int, float] = dataclasses.field(default=(0, 0.0), compare=False)


def split_columns(spec: DatasetSpec) -> tuple[str, ...]:
    """The columns that decide a row's split; empty if none does."""
    split = spec.data.split
    if isinstance(split, TimeSplit | ColumnSplit):
        return (split.column,)
    return split.columns if isinstance(split, HashSplit) else ()


def needed_columns(spec: DatasetSpec) -> list[str]:
    """The columns that are read, each once; all others are never loaded."""
    columns = [*spec.features, spec.label.column]
    if spec.weight is not None:
        columns.append(spec.weight)
    return list(dict.fromkeys([*columns, *split_columns(spec)]))


def list_files(spec: DatasetSpec, path_key: str = "data.path") -> list[SourceFile]:
    """The files of the data set, sorted by path, of each split if it has its own.

    Args:
        spec: The description.
        path_key: Where its path was given, for a message.

    Raises:
        IngestError: If no file matches a path, one is a folder or empty, or two splits
            share one.
    """
    split = spec.data.split
    if isinstance(split, FileSplit):
        patterns: list[tuple[str | None, str]] = [
            (name, FileSystems.join(spec.data.path, pattern))
            for name, pattern in split.model_dump(exclude={"by"}).items()
        ]
    else:
        patterns = [(None, spec.data.path)]
    files = []
    problems = []
    matches = FileSystems.match([pattern for _, pattern in patterns])
    for (name, pattern), match in zip(patterns, matches, strict=True):
        if not match.metadata_list:
            key = f"data.split.{name}" if name else path_key
            problems.append(
                f"{pattern}: expected at least one file, found none; correct"
                f" {key}{_taken_as(pattern)}"
            )
        for metadata in sorted(match.metadata_list, key=lambda found: found.path):
            state = (metadata.size_in_bytes, metadata.last_updated_in_seconds)
            files.append(SourceFile(metadata.path, name, state))
            if Path(metadata.path).is_dir():
                problems.append(
                    f"{metadata.path}: expected a file, found a folder; name its files,"
                    f" such as {metadata.path}/*.{spec.data.format}"
                )
            elif metadata.size_in_bytes == 0:
                problems.append(f"{metadata.path}: expected rows, found an empty file")
    problems += _shared(files)
    _raise(problems)
    return files


def _taken_as(pattern: str) -> str:
    """The end of a message on a path with what stands for something else."""
    if any(part.startswith(("~", "$")) for part in pattern.split("/")):
        return ", in which ~ and variables stand for themselves"
    if glob.has_magic(pattern.rpartition("/")[0]):
        return ", in which *, ? and [ of folders are of a pattern, too"
    return ""


def _shared(files: Sequence[SourceFile]) -> Iterator[str]:
    splits: dict[str, list[str]] = defaultdict(list)
    for file in files:
        splits[file.path].append(str(file.split))
    for path, names in splits.items():
        if len(names) > 1:
            yield (
                f"{path}: expected a file of one split, found it in"
                f" {' and '.join(names)}; correct data.split"
            )


def files_digest(spec: DatasetSpec) -> str:
    """A digest that changes with the names, sizes and times of the files.

    Raises:
        IngestError: As `list_files`.
    """
    states = [(file.path, file.split, *file.state) for file in list_files(spec)]
    return hashlib.blake2b(json.dumps(states).encode(), digest_size=8).hexdigest()


def check_files(spec: DatasetSpec, path_key: str = "data.path") -> list[SourceFile]:
    """Checks every file's existence and columns, without reading its rows.

    Args:
        spec: The description.
        path_key: Where its path was given, for a message.

    Returns:
        The files of the data set.

    Raises:
        IngestError: If no file matches, or one is empty, unreadable or without a
            column that the description needs. One line a problem.
    """
    files = list_files(spec, path_key)
    # Opening a remote file is nearly all waiting, so do it for many at once.
    with ThreadPoolExecutor(max_workers=8) as pool:
        problems = pool.map(lambda file: list(_problems(spec, file.path)), files)
        _raise(list(itertools.chain.from_iterable(problems)))
    return files


def _problems(spec: DatasetSpec, path: str) -> Iterator[str]:
    try:
        found = READERS[spec.data.format].column_names(path)
    except IngestError as error:
        yield str(error)
        return
    # A tf.Example may leave out a list that is empty.
    optional = {
        name
        for name, feature in spec.features.items()
        if spec.data.format == "tfrecord" and isinstance(feature, MultivaluedFeature)
    }
    counts = Counter(found)
    for column in needed_columns(spec):
        if counts[column] > 1:
            yield (
                f"{path}: expected the column {column!r} once, found it"
                f" {counts[column]} times; rename the others"
            )
        elif counts[column] == 0 and column not in optional:
            more = ", ..." if len(found) > _MAX_COLUMNS else ""
            names = ", ".join(map(repr, found[:_MAX_COLUMNS])) or "none"
            yield (
                f"{path}: expected the column {column!r}, found the columns"
                f" {names}{more}"
                + (
                    did_you_mean(column, found)
                    or "; add it, empty, or leave the file out"
                )
            )


def _raise(problems: list[str]) -> None:
    if len(problems) > _MAX_PROBLEMS:
        rest = len(problems) - _MAX_PROBLEMS
        problems = [*problems[:_MAX_PROBLEMS], f"and {rest:,} more problems"]
    if problems:
        raise IngestError("\n".join(problems))

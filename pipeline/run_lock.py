"""One run at a time in a folder, of one data-set file: each reads the last one's."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.paths import RunPaths


@contextmanager
def only_run(paths: RunPaths) -> Iterator[None]:
    """Keeps other runs out of a folder, which is made if need be.

    The kernel lets go of the file when the process ends, however it does.

    Args:
        paths: The folder.

    Raises:
        RuntimeError: If another run is in it, or it is another data-set file's.
    """
    paths.root.mkdir(parents=True, exist_ok=True)
    with paths.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(
                f"{paths.root}: expected no other run in this folder, found one; wait"
                " for it, or use another --root"
            ) from error
        if paths.described_in is not None:
            _keep_to(paths.described_in, paths)
        yield


def _keep_to(file: Path, paths: RunPaths) -> None:
    """Notes whose folder it is, unless it is that of another file which still exists.

    The path is kept as it was given: a link that is set on to the next release of the
    same data set is still the same path.
    """
    kept = paths.data_set_file
    if kept.exists():
        other = Path(os.fsdecode(kept.read_bytes()).removesuffix("\n"))
        if (same := _is_same(file, other)) is True:
            return
        if same is False:
            raise RuntimeError(
                f"{paths.root}: expected the runs of {file.absolute()}, found those of"
                f" {other}, which has the same `name`; give this one another name, or"
                " choose another folder with --root or MIDPG_ROOT; if both describe"
                f" the same data, delete {kept}"
            )
    part = kept.with_name(f".{kept.name}.part")
    part.write_bytes(os.fsencode(file.absolute()) + b"\n")
    part.replace(kept)


def _is_same(file: Path, other: Path) -> bool | None:
    """Whether both paths lead to one file; None if there is no other file any more."""
    try:
        return file.samefile(other)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        return False  # it is somebody else's

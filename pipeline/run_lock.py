"""One run at a time in a folder: each reads there what the last one left."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.paths import RunPaths


@contextmanager
def only_run(paths: RunPaths) -> Iterator[None]:
    """Keeps other runs out of a folder, which is made if need be.

    The kernel lets go of the file when the process ends, however it does.

    Args:
        paths: The folder.

    Raises:
        RuntimeError: If another run is in it.
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
        yield

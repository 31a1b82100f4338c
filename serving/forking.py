"""The server that processes of models are forked from."""

# Light imports only: it is started before TensorFlow is imported here.

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from typing import Any


def context() -> Any:
    """Returns what starts processes; they have TensorFlow imported already."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["serving.isolation"])
    return found


def prepare() -> None:
    """Starts that server, so that it imports TensorFlow while this process does."""
    context()
    forkserver.ensure_running()

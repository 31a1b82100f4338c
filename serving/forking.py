"""The server that processes of models are forked from."""

# Light imports only: it is started before TensorFlow is imported here.

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker
from typing import Any


def context() -> Any:
    """Returns what starts processes; they have TensorFlow imported already.

    The server that they are forked from runs from the first call on. A SIGTERM to the
    whole process group is for this process alone: the others go on with their requests
    until it ends them, or ends.
    """
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["serving.preloaded"])
    # Its start unblocks the signal, and the fork server's would start it.
    resource_tracker.ensure_running()
    # A mask is inherited, unlike a handler, and other threads still get the signal.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return found

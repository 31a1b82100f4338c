"""The server that processes of models are forked from."""

# Light imports only: it is started before TensorFlow is imported here.

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_replacing = threading.Lock()


def context() -> Any:
    """Returns what starts processes; they have TensorFlow imported already.

    The server that they are forked from runs from the first call on. A SIGTERM to the
    whole process group is for this process alone: the others go on with their requests
    until it ends them, or ends.
    """
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["serving.embedded.preloaded"])
    # Its start unblocks the signal, and the fork server's would start it.
    resource_tracker.ensure_running()
    # A mask is inherited, unlike a handler, and other threads still get the signal.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return found


def start(process: BaseProcess) -> None:
    """Starts a process that was made by `context()`.

    Whatever cleans the folder of temporary files may take the server's socket, after
    which nobody reaches it. Then there is a new one.
    """
    try:
        process.start()
    except (FileNotFoundError, ConnectionRefusedError):
        with _replacing:
            _replace_if_lost()
        process.start()


def _replace_if_lost() -> None:
    # Private, for nothing public gives a server up whose children run: it stays their
    # parent, and ends with the last of them.
    server: Any = forkserver._forkserver
    with server._lock:
        address = server._forkserver_address
        if address is not None and not Path(address).exists():
            os.close(server._forkserver_alive_fd)
            server._forkserver_address = None
            server._forkserver_alive_fd = None
            server._forkserver_pid = None
            Path(util.get_temp_dir()).mkdir(0o700, parents=True, exist_ok=True)
    context()

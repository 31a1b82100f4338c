"""Bounds how many requests to a model run and wait at a time."""

from __future__ import annotations

import threading
import time

import grpc

from serving.errors import ServingError


class Admission:
    """Lets some requests run and some wait; refuses the rest at once.

    Args:
        name: Name of the model, for messages.
        running: Most requests that run at a time.
        waiting: Most requests that wait for their turn.
    """

    def __init__(self, name: str, running: int, waiting: int) -> None:
        self._name = name
        self._free = running
        self._room = waiting
        self._turn = threading.Condition()

    def enter(self, timeout: float | None = None) -> None:
        """Counts a request in, after its turn has come; `leave` must follow.

        Args:
            timeout: Seconds that it may wait, `None` for no limit.

        Raises:
            ServingError: RESOURCE_EXHAUSTED if too many wait, DEADLINE_EXCEEDED if its
                turn did not come in time.
        """
        with self._turn:
            if not self._free:
                self._wait(timeout)
            self._free -= 1

    def leave(self) -> None:
        """Counts a request out."""
        with self._turn:
            self._free += 1
            self._turn.notify()

    def _wait(self, timeout: float | None) -> None:
        if not self._room:
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"too many requests to model {self._name} are waiting; try again later",
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        self._room -= 1
        try:
            while not self._free:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise ServingError(
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                        f"the request to model {self._name} had no turn before its"
                        " deadline",
                    )
                self._turn.wait(left)
        finally:
            self._room += 1

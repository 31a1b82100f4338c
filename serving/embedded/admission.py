"""Bounds how many requests to a model run and wait at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import grpc

from serving.deadlines import Deadline
from serving.errors import ServingError


class Cancellation:
    """Whether a caller has gone; whoever waits on the caller's behalf is told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tell: Callable[[], None] | None = None
        self.is_set = False

    def set(self) -> None:
        """Says that the caller has gone."""
        with self._lock:
            self.is_set = True
            tell = self._tell
        if tell is not None:
            tell()

    def check(self) -> None:
        """Raises ServingError, CANCELLED, if the caller has gone."""
        if self.is_set:
            raise ServingError(grpc.StatusCode.CANCELLED, "the caller has gone")

    @contextlib.contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """While the context lasts, calls a function when the caller goes."""
        with self._lock:
            self._tell = tell
        try:
            yield
        finally:
            with self._lock:
                self._tell = None


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

    def enter(
        self, timeout: float | None = None, cancellation: Cancellation | None = None
    ) -> None:
        """Counts a request in, after its turn has come; `leave` must follow.

        Args:
            timeout: Seconds that it may wait, `None` for no limit.
            cancellation: Ends the wait; `None` if nothing can.

        Raises:
            ServingError: RESOURCE_EXHAUSTED if too many wait, DEADLINE_EXCEEDED if its
                turn did not come in time, CANCELLED if its caller has gone.
        """
        cancellation = cancellation or Cancellation()
        with cancellation.telling(self._look_again), self._turn:
            if not self._free:
                self._wait(timeout, cancellation)
            self._free -= 1

    def leave(self) -> None:
        """Counts a request out."""
        with self._turn:
            self._free += 1
            self._turn.notify()

    def _look_again(self) -> None:
        with self._turn:
            self._turn.notify_all()

    def _wait(self, timeout: float | None, cancellation: Cancellation) -> None:
        if not self._room:
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"too many requests to model {self._name} are waiting; try again later",
            )
        deadline = Deadline(timeout)
        self._room -= 1
        try:
            while not self._free:
                cancellation.check()
                if deadline.passed:
                    raise ServingError(
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                        f"the request to model {self._name} had no turn before its"
                        " deadline",
                    )
                self._turn.wait(deadline.left())
        finally:
            self._room += 1

"""Runs parts of a session's graph: prepared once, within a deadline, in batches."""

from __future__ import annotations

import math
import threading
from concurrent import futures

import grpc
import numpy as np

from serving.deadlines import Deadline
from serving.embedded.batching import Batcher, BatchingOptions
from serving.embedded.session import Runner, SavedModelSession
from serving.errors import ServingError

# Clients choose the output filter, and a session keeps what it has prepared.
_MAX_RUNNERS = 64

# TensorFlow counts in a smaller unit, which must not overflow.
_LONGEST_MS = 2**31 - 1

_Key = tuple[tuple[str, ...], tuple[str, ...]]


class Executor:
    """Runs a session for many threads at a time.

    Args:
        session: The loaded model. It stays the caller's to close, after `close`.
        batching: How requests of several callers are put together, `None` for not.
    """

    def __init__(
        self, session: SavedModelSession, batching: BatchingOptions | None = None
    ) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._runners: dict[_Key, futures.Future[Runner]] = {}
        self._batcher = Batcher(batching, self._run_alone) if batching else None

    def run(
        self,
        feeds: tuple[str, ...],
        fetches: tuple[str, ...],
        arrays: list[np.ndarray],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """Runs a part of the graph.

        What feeds and fetches of their own need is prepared by the first who asks.
        Only the first 64 such pairs stay prepared, and the runs of others are slow.

        Args:
            feeds: Names of the tensors to feed.
            fetches: Names of the tensors to fetch, each once.
            arrays: One a feed.
            timeout: Seconds that it may take, `None` for no limit. A run that takes
                longer is cancelled, unless the session makes it inline.

        Returns:
            One array a fetch.

        Raises:
            ServingError: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED if there is no room in a
                batch, or the runtime's own code.
        """
        if timeout is not None and timeout <= 0:
            raise _late()
        if self._batcher is not None:
            return self._batcher.run((feeds, fetches), arrays, timeout)
        return self._run_alone((feeds, fetches), arrays, timeout)

    def close(self) -> None:
        """Drops the prepared runs, which must go before their session."""
        if self._batcher is not None:
            self._batcher.close()
        self._runners.clear()

    def _run_alone(
        self, key: _Key, arrays: list[np.ndarray], timeout: float | None
    ) -> list[np.ndarray]:
        deadline = Deadline(timeout)
        runner = self._runner(key, deadline)
        milliseconds = _milliseconds(deadline)
        if runner is None:
            return self._session.run_once(*key, arrays, milliseconds)
        return runner(arrays, milliseconds)

    def _runner(self, key: _Key, deadline: Deadline) -> Runner | None:
        """Returns the prepared run, `None` if too many are."""
        with self._lock:
            prepared = self._runners.get(key)
            if is_first := prepared is None:
                if len(self._runners) >= _MAX_RUNNERS:
                    return None
                prepared = self._runners[key] = futures.Future()
        if is_first:
            # Others wait for it: at a time, each would take as long again.
            try:
                prepared.set_result(self._session.runner(*key))
            except BaseException as error:
                with self._lock:
                    del self._runners[key]
                prepared.set_exception(error)
        try:
            return prepared.result(deadline.left())
        except TimeoutError:
            raise _late() from None
        finally:
            # Its error's traceback has this frame: in a cycle, arrays would stay.
            del prepared


def _milliseconds(deadline: Deadline) -> int:
    left = deadline.left()
    if left is None:
        return 0
    if not left:
        raise _late()
    return math.ceil(min(left * 1000, _LONGEST_MS))


def _late() -> ServingError:
    return ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline passed before the run"
    )

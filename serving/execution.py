"""Runs parts of a session's graph: prepared once, within a deadline, in batches."""

from __future__ import annotations

import functools

import grpc
import numpy as np

from serving.batching import Batcher, BatchingOptions
from serving.errors import ServingError
from serving.session import SavedModelSession

# Clients choose the output filter, so the number of prepared runs needs a bound.
_MAX_RUNNERS = 64
_LONGEST_TIMEOUT_MS = 2**20


class Executor:
    """Runs a session for many threads at a time.

    Args:
        session: The loaded model. It stays the caller's to close, after `close`.
        batching: How requests of several callers are put together, `None` for not.
    """

    def __init__(
        self, session: SavedModelSession, batching: BatchingOptions | None = None
    ) -> None:
        self._runner = functools.lru_cache(maxsize=_MAX_RUNNERS)(session.runner)
        self._batcher = Batcher(batching, self._run_alone) if batching else None

    def run(
        self,
        feeds: tuple[str, ...],
        fetches: tuple[str, ...],
        arrays: list[np.ndarray],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """Runs a part of the graph.

        Args:
            feeds: Names of the tensors to feed.
            fetches: Names of the tensors to fetch, each once.
            arrays: One a feed.
            timeout: Seconds that it may take, `None` for no limit. A run that takes
                longer is cancelled, after at most twice that time.

        Returns:
            One array a fetch.

        Raises:
            ServingError: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED if there is no room in a
                batch, or the runtime's own code.
        """
        if timeout is not None and timeout <= 0:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline passed before the run"
            )
        if self._batcher is not None:
            return self._batcher.run((feeds, fetches), arrays, timeout)
        return self._run_alone((feeds, fetches), arrays, timeout)

    def close(self) -> None:
        """Drops the prepared runs, which must go before their session."""
        if self._batcher is not None:
            self._batcher.close()
        self._runner.cache_clear()

    def _run_alone(
        self,
        key: tuple[tuple[str, ...], tuple[str, ...]],
        arrays: list[np.ndarray],
        timeout: float | None,
    ) -> list[np.ndarray]:
        return self._runner(*key, _rounded_ms(timeout))(*arrays)


def _rounded_ms(timeout: float | None) -> int:
    """Returns the next power of two in ms: a timeout belongs to the prepared run."""
    if timeout is None:
        return 0
    milliseconds = 1 << max(0, int(timeout * 1000)).bit_length()
    return milliseconds if milliseconds <= _LONGEST_TIMEOUT_MS else 0

"""One version of a model: it loads, fails and is tried again, crashes, and goes."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

import grpc

from serving.embedded.errors import internal
from serving.embedded.model import Model
from serving.embedded.servable import Servable
from serving.errors import ServingError
from serving.status import State, VersionStatus
from serving.versions import Fingerprint, fingerprint

_log = logging.getLogger(__name__)

#: Seconds until a version that crashes again and again is loaded once more, at most.
LONGEST_RESTART_WAIT = 60.0

#: Seconds that it serves after which a crash counts as the first again.
HEALTHY_AFTER = 10 * LONGEST_RESTART_WAIT


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """When versions are looked for and loaded.

    Attributes:
        poll_wait_seconds: Seconds from one look at a base path to the next; 0 looks
            once, at the start.
        max_num_load_retries: Attempts after the first, before a version is given up.
        load_retry_interval_micros: Microseconds from one attempt to the next.
    """

    poll_wait_seconds: float
    max_num_load_retries: int
    load_retry_interval_micros: int


class Loader(Protocol):
    """Loads a version."""

    def __call__(
        self,
        path: str,
        *,
        cancelled: Callable[[], bool],
        on_failure: Callable[[], None],
    ) -> Model:
        """Returns the model, ready to answer.

        Args:
            path: Directory of the SavedModel.
            cancelled: True, once the load is no longer wanted.
            on_failure: To be called if the model ends unasked.

        Raises:
            ServingError: Why it can't be loaded.
        """


class Version:
    """A version and what has become of it.

    It belongs to the thread that manages the model. Others may look at `state`, `error`
    and `servable`, with the lock held.

    Args:
        model: Name of the model.
        number: Number of the version.
        path: Directory of its SavedModel.
        options: When it is loaded again.
        lock: Held while its state changes.

    Attributes:
        state: Its state.
        error: Why it doesn't serve, `None` if there is no error.
        servable: What answers, while the state is AVAILABLE.
        failures: Attempts to load it that failed since the last that didn't; a crash is
            the first.
    """

    def __init__(
        self,
        model: str,
        number: int,
        path: str,
        options: LoadOptions,
        lock: threading.Lock,
    ) -> None:
        self.number = number
        self.path = path
        self.state = State.START
        self.error: ServingError | None = None
        self.servable: Servable | None = None
        self.failures = 0
        self._model = model
        self._options = options
        self._lock = lock
        self._has_crashed = False
        self._crashes = 0
        self._loaded = 0.0
        self._next_attempt = 0.0
        self._tried: Fingerprint = frozenset()
        self._seen: Fingerprint = frozenset()

    @property
    def status(self) -> VersionStatus:
        """Its state, to be told; the lock must be held."""
        return VersionStatus(self.number, self.state, self.error)

    @property
    def next_attempt(self) -> float | None:
        """When it is to be loaded again, in `time.monotonic`; `None` for never."""
        waits = self.state is State.LOADING and self.failures
        return self._next_attempt if waits else None

    @property
    def is_restarting(self) -> bool:
        """Whether it has served, crashed, and is to serve again; hold the lock."""
        return self.state is State.LOADING and self._crashes > 0

    @property
    def is_up(self) -> bool:
        """Whether it serves, or is to serve again; hold the lock."""
        return self.state is State.AVAILABLE or self.is_restarting

    @property
    def has_crashed_first(self) -> bool:
        """Whether `collect_crash` is to follow, and will have it loaded at once."""
        return (
            self._has_crashed
            and self.servable is not None
            and self._crash_number() == 1
        )

    def is_due(self) -> bool:
        """Whether it is to be loaded now: for the first time, or again."""
        if self.state is State.START:
            return True
        if not self.failures:
            return False
        current = fingerprint(self.path)
        at_rest, self._seen = current == self._seen, current
        if at_rest and current != self._tried:
            self.failures = 0
            return True
        moment = self.next_attempt
        return moment is not None and time.monotonic() >= moment

    def load(
        self, loader: Loader, cancelled: Callable[[], bool], wake: Callable[[], None]
    ) -> None:
        """Loads it; afterwards it is AVAILABLE, or `error` says why it isn't.

        A load that ends because it was cancelled is no attempt: the version is as due
        as before.

        Args:
            loader: Loads the model.
            cancelled: True, once the load is no longer wanted.
            wake: Called from another thread when the model has crashed; `collect_crash`
                is to follow.
        """

        def crashed() -> None:
            self._has_crashed = True
            wake()

        was_cancelled = False

        def ask_cancelled() -> bool:
            nonlocal was_cancelled
            was_cancelled = was_cancelled or cancelled()
            return was_cancelled

        self._set(State.LOADING, self.error)
        self._tried = self._seen = fingerprint(self.path)
        started = time.monotonic()
        try:
            model = loader(self.path, cancelled=ask_cancelled, on_failure=crashed)
        except Exception as error:
            _log.debug("load failed", exc_info=True)
            if was_cancelled:
                self._set(State.LOADING if self.failures else State.START, self.error)
            elif isinstance(error, ServingError):
                # A copy, for the traceback's frames would keep the failed session
                # alive.
                self._failed(ServingError(error.code, error.message))
            else:
                self._failed(internal(error))
            return
        servable = Servable(self._model, self.number, model)
        self.failures = 0
        self._loaded = time.monotonic()
        self._set(State.AVAILABLE, servable=servable)
        _log.info(
            "model %s: version %d serves (loaded in %.1f s, %d warm-up records)",
            self._model,
            self.number,
            self._loaded - started,
            model.warmup_records,
        )

    def collect_crash(self) -> None:
        """Frees the model if it has crashed, and sets when it is loaded again."""
        if not self._has_crashed:
            return
        self._has_crashed = False
        servable = self.servable
        if servable is None:
            return
        self._crashes = self._crash_number()
        self.failures = 1
        # At once the first time; then 1, 2, 4 s and so on.
        wait = 1 << min(self._crashes - 2, 10) if self._crashes > 1 else 0
        seconds = min(LONGEST_RESTART_WAIT, wait)
        self._next_attempt = time.monotonic() + seconds
        error = ServingError(
            grpc.StatusCode.UNAVAILABLE,
            f"version {self.number} of model {self._model} crashed",
        )
        self._set(State.LOADING, error)
        _log.error("%s (crash %d); next load in %g s", error, self._crashes, seconds)
        servable.close()

    def retire(self, on_closed: Callable[[], None]) -> None:
        """Ends it, as it is no longer wanted; it may come back.

        If it serves, its requests in flight end first.

        Args:
            on_closed: Called when the model has been freed: in this thread, or in one
                of its own after the last request.
        """

        def closed() -> None:
            self._set(State.END)
            on_closed()
            _log.info("model %s: version %d is unloaded", self._model, self.number)

        self.failures = 0
        if self.servable is not None:
            servable = self.servable
            self._set(State.UNLOADING)
            servable.close(closed)
        elif self.state < State.AVAILABLE:
            _log.info(
                "model %s: version %d is no longer wanted", self._model, self.number
            )
            self._set(State.END, self.error)

    def _crash_number(self) -> int:
        """Returns the number of a crash now, 1 after health."""
        has_healed = time.monotonic() >= self._loaded + HEALTHY_AFTER
        return 1 if has_healed else self._crashes + 1

    def _failed(self, error: ServingError) -> None:
        self.failures += 1
        seconds = self._options.load_retry_interval_micros / 1e6
        self._next_attempt = time.monotonic() + seconds
        final = self.failures > self._options.max_num_load_retries
        self._set(State.END if final else State.LOADING, error)

    def _set(
        self,
        state: State,
        error: ServingError | None = None,
        servable: Servable | None = None,
    ) -> None:
        with self._lock:
            self.state = state
            self.error = error
            self.servable = servable

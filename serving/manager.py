"""Keeps the newest version of one model loaded, and swaps versions under load."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator

import grpc

from serving.errors import ServingError
from serving.servable import Servable
from serving.status import State, VersionStatus
from serving.versions import Fingerprint, find_versions, fingerprint

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class _Version:
    """Book-keeping of one version.

    The lock of the manager guards `state`, `error` and `servable`, which is there while
    the state is AVAILABLE; the rest belongs to the manager's thread.
    """

    number: int
    path: str
    state: State = State.START
    error: ServingError | None = None
    servable: Servable | None = None
    failures: int = 0
    next_attempt: float = 0.0
    tried: Fingerprint = frozenset()
    seen: Fingerprint = frozenset()


class ModelManager:
    """Watches a base path and serves its newest version.

    A new version is loaded and warmed up before the old one goes, and the old one goes
    once its last request has ended. A load that fails leaves the old version serving,
    and is tried again: after the retry interval, and at once when the version's files
    have changed and come to rest (a copy that was slow).
    A version that was removed gives way to the newest that is left; when none is left,
    or the base path can't be read, the loaded version stays.

    Args:
        name: Name of the model.
        base_path: Directory whose integer sub-folders are the versions.
        poll_wait_seconds: Seconds from one look at the base path to the next; 0 looks
            once, at the start.
        max_num_load_retries: Attempts after the first, before a version is given up.
        load_retry_interval_micros: Microseconds from one attempt to the next.
        enable_warmup: Whether to run the models' own warm-up requests.
    """

    def __init__(
        self,
        name: str,
        base_path: str,
        *,
        poll_wait_seconds: float = 1.0,
        max_num_load_retries: int = 5,
        load_retry_interval_micros: int = 60_000_000,
        enable_warmup: bool = True,
    ) -> None:
        self.name = name
        self.base_path = base_path
        self.poll_wait_seconds = poll_wait_seconds
        self.max_num_load_retries = max_num_load_retries
        self.load_retry_interval_micros = load_retry_interval_micros
        self.enable_warmup = enable_warmup
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._stopping = threading.Event()
        self._versions: dict[int, _Version] = {}
        self._found: dict[int, str] | None = None
        self._said = ""
        self._garbage = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name=f"model-manager-{name}", daemon=True
        )

    def start(self) -> None:
        """Starts to watch, in a thread of its own."""
        self._thread.start()

    def stop(self, timeout: float | None = 30.0) -> None:
        """Stops to watch and unloads every version, after its requests in flight.

        Args:
            timeout: Seconds to wait for a load that is under way, `None` for no limit.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        with self._lock:
            loaded = [v for v in self._versions.values() if v.state is State.AVAILABLE]
        for version in loaded:
            self._unload(version)

    def wait_until_available(
        self,
        timeout: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> int:
        """Waits for the first version to serve.

        Args:
            timeout: Seconds to wait, `None` for no limit.
            cancelled: Asked several times a second; true ends the wait.

        Returns:
            The version that serves.

        Raises:
            ServingError: The newest version was given up (with the code of its load),
                the time is over (DEADLINE_EXCEEDED), or the wait was CANCELLED.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while (available := self._latest()) is None:
                self._raise_if_hopeless()
                if cancelled() or self._stopping.is_set():
                    raise ServingError(
                        grpc.StatusCode.CANCELLED,
                        f"stopped before a version of model {self.name} was loaded",
                    )
                if deadline is not None and time.monotonic() > deadline:
                    raise ServingError(
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                        f"no version of model {self.name} was loaded in {timeout:g} s;"
                        f" {self._said or 'a load is under way'}",
                    )
                # Short, because a signal handler can only leave a flag behind.
                self._changed.wait(0.1)
            return available.number

    @contextlib.contextmanager
    def lease(self, version: int | None = None) -> Iterator[Servable]:
        """Lends a loaded version, which stays loaded while the context lasts.

        Args:
            version: Number of the version, `None` for the newest that is loaded.

        Raises:
            ServingError: NOT_FOUND, if that version isn't loaded.
        """
        with self._lock:
            found = self._latest() if version is None else self._versions.get(version)
            servable = found.servable if found is not None else None
            if servable is None:
                what = "Latest(%s)" if version is None else f"Specific(%s, {version})"
                raise ServingError(
                    grpc.StatusCode.NOT_FOUND,
                    f"Servable not found for request: {what % self.name}",
                )
            # Under the lock, so that the manager can't unload it in between.
            servable.acquire()
        try:
            yield servable
        finally:
            servable.release()

    def statuses(self) -> list[VersionStatus]:
        """Returns the state of every version that was ever seen, the newest first."""
        with self._lock:
            return [
                VersionStatus(v.number, v.state, v.error)
                for v in sorted(self._versions.values(), key=lambda v: -v.number)
            ]

    def _latest(self) -> _Version | None:
        available = [v for v in self._versions.values() if v.state is State.AVAILABLE]
        return max(available, key=lambda v: v.number, default=None)

    def _raise_if_hopeless(self) -> None:
        """Raises, if no version serves and none will without a change on disk."""
        if self.poll_wait_seconds <= 0 and self._found == {}:
            raise ServingError(
                grpc.StatusCode.NOT_FOUND,
                f"no version of model {self.name}: {self._said}; and polling is off"
                " (file_system_poll_wait_seconds=0)",
            )
        if any(v.state < State.AVAILABLE for v in self._versions.values()):
            return
        failed = [v for v in self._versions.values() if v.error is not None]
        newest = max(failed, key=lambda v: v.number, default=None)
        if newest is not None and newest.error is not None:
            raise ServingError(
                newest.error.code,
                f"version {newest.number} of model {self.name} did not load:"
                f" {newest.error.message}",
            )

    def _watch(self) -> None:
        polled = 0.0
        while not self._stopping.is_set():
            try:
                polled = time.monotonic()
                self._poll()
                self._step()
                self._collect()
            except Exception:
                # Whatever it was, the loaded version must go on and be watched.
                _log.exception("model %s: the look at its versions failed", self.name)
            self._stopping.wait(self._pause(polled))

    def _pause(self, polled: float) -> float | None:
        """Returns the seconds until there is something to do, `None` for never."""
        moments = [
            v.next_attempt
            for v in self._versions.values()
            if v.state is State.LOADING and v.failures
        ]
        if self.poll_wait_seconds > 0:
            moments.append(polled + self.poll_wait_seconds)
        if not moments:
            return None
        return max(0.0, min(moments) - time.monotonic())

    def _poll(self) -> None:
        if self._found is not None and self.poll_wait_seconds <= 0:
            return
        found = find_versions(self.base_path)
        if found.problem and found.problem != self._said:
            if self._latest() is None:
                _log.warning("waiting for model %s: %s", self.name, found.problem)
            else:
                _log.warning(
                    "model %s: %s; the loaded version goes on", self.name, found.problem
                )
        self._said = found.problem
        # Nothing there is taken for a fault of the storage, not for a wish to unload.
        if found.versions or self._found is None:
            self._found = found.versions

    def _step(self) -> None:
        """Moves the versions one step towards what the last look found."""
        if not self._found:
            return
        aspired = max(self._found)
        version = self._versions.get(aspired)
        if version is None or (version.state is State.END and not version.failures):
            version = _Version(aspired, self._found[aspired])
            with self._lock:
                self._versions[aspired] = version
        for other in list(self._versions.values()):
            if other is not version and other.failures:
                self._give_up(other)
        if self._is_due(version):
            self._load(version)
        if version.state is State.AVAILABLE:
            for other in list(self._versions.values()):
                if other is not version and other.state is State.AVAILABLE:
                    self._unload(other)

    def _collect(self) -> None:
        # A TensorFlow graph is full of reference cycles, and a process that does
        # nothing but answer makes too little garbage for Python to look for them.
        if self._garbage.is_set():
            self._garbage.clear()
            gc.collect()

    def _is_due(self, version: _Version) -> bool:
        if version.state is State.START:
            return True
        if not version.failures:
            return False
        current = fingerprint(version.path)
        at_rest, version.seen = current == version.seen, current
        if at_rest and current != version.tried:
            version.failures = 0
            return True
        return (
            version.state is State.LOADING and time.monotonic() >= version.next_attempt
        )

    def _load(self, version: _Version) -> None:
        self._set(version, State.LOADING, version.error)
        version.tried = version.seen = fingerprint(version.path)
        started = time.monotonic()
        try:
            servable = Servable(
                self.name,
                version.number,
                version.path,
                enable_warmup=self.enable_warmup,
            )
        except ServingError as error:
            # A copy, for the traceback's frames would keep the failed session alive.
            self._load_failed(version, ServingError(error.code, error.message))
            return
        except Exception as error:
            _log.debug("load failed", exc_info=True)
            message = f"{type(error).__name__}: {error}"
            self._load_failed(version, ServingError(grpc.StatusCode.INTERNAL, message))
            return
        version.failures = 0
        self._set(version, State.AVAILABLE, servable=servable)
        _log.info(
            "model %s: version %d serves (loaded in %.1f s, %d warm-up records)",
            self.name,
            version.number,
            time.monotonic() - started,
            servable.warmup_records,
        )

    def _load_failed(self, version: _Version, error: ServingError) -> None:
        version.failures += 1
        seconds = self.load_retry_interval_micros / 1e6
        version.next_attempt = time.monotonic() + seconds
        final = version.failures > self.max_num_load_retries
        self._set(version, State.END if final else State.LOADING, error)
        serving = self._latest()
        _log.error(
            "model %s: version %d at %s failed to load (attempt %d of %d, %s; %s): %s",
            self.name,
            version.number,
            version.path,
            version.failures,
            self.max_num_load_retries + 1,
            "given up" if final else f"next in {seconds:g} s",
            f"version {serving.number} goes on" if serving else "nothing serves",
            " ".join(str(error).split()),
        )

    def _give_up(self, version: _Version) -> None:
        """Ends a version that failed and is no longer wanted; it may come back."""
        if version.state is State.LOADING:
            _log.info(
                "model %s: version %d is no longer wanted", self.name, version.number
            )
        version.failures = 0
        self._set(version, State.END, version.error)

    def _unload(self, version: _Version) -> None:
        def closed() -> None:
            self._set(version, State.END)
            self._garbage.set()
            _log.info("model %s: version %d is unloaded", self.name, version.number)

        servable = version.servable
        self._set(version, State.UNLOADING)
        if servable is not None:
            servable.close(closed)

    def _set(
        self,
        version: _Version,
        state: State,
        error: ServingError | None = None,
        servable: Servable | None = None,
    ) -> None:
        with self._lock:
            version.state = state
            version.error = error
            version.servable = servable
            self._changed.notify_all()

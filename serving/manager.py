"""Keeps the wanted versions of one model loaded, and swaps versions under load."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import threading
import time
from collections.abc import Iterator

import grpc

from serving.deadlines import Deadline
from serving.errors import ServingError, not_found
from serving.lifecycle import Loader, LoadOptions, Version
from serving.model_config import ModelConfig
from serving.servable import Servable
from serving.status import State, VersionStatus
from serving.versions import find_versions

_log = logging.getLogger(__name__)


class ModelManager:
    """Watches a base path and serves the versions that the model's policy wants.

    A new version is loaded and warmed up before the old one goes, and the old one goes
    once its last request has ended. A load that fails leaves the old version serving,
    and is tried again: after the retry interval, and at once when the version's files
    have changed and come to rest (a copy that was slow). A version that crashes is
    loaded again, later each time.
    A version that was removed gives way to the newest that is left; when none is left,
    or the base path can't be read, the loaded version stays.

    Args:
        config: The model.
        loader: Loads a version.
        options: When to look and to load.
    """

    def __init__(
        self, config: ModelConfig, loader: Loader, options: LoadOptions
    ) -> None:
        self.name = config.name
        self.config = config
        self.options = options
        self._loader = loader
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._versions: dict[int, Version] = {}
        self._found: dict[int, str] | None = None
        self._looked = False
        self._said = ""
        self._garbage = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name=f"model-manager-{self.name}", daemon=True
        )

    def start(self) -> None:
        """Starts to watch, in a thread of its own."""
        self._thread.start()

    def configure(self, config: ModelConfig) -> None:
        """Takes another policy or other labels for the model, of the same base path."""
        with self._lock:
            self.config = config
        self._wake.set()

    def stop(self, timeout: float | None = 30.0) -> None:
        """Stops to watch and unloads every version, after its requests in flight.

        Args:
            timeout: Seconds to wait for a load that is under way, `None` for no limit.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        with self._lock:
            loaded = [v for v in self._versions.values() if v.state is State.AVAILABLE]
        for version in loaded:
            version.unload(self._unloaded)

    @property
    def is_available(self) -> bool:
        """Whether a version serves."""
        with self._lock:
            return self._latest() is not None

    @property
    def hopeless(self) -> ServingError | None:
        """Why no version will serve without a change on disk, `None` if one may."""
        with self._lock:
            return None if self._latest() is not None else self._hopeless()

    @property
    def is_settled(self) -> bool:
        """Whether a version serves, or each that there is was tried and failed."""
        with self._lock:
            return self._looked or self._latest() is not None

    def wait_until_settled(self, timeout: float | None = None) -> bool:
        """Waits until a version serves, or none will for now; tells if one serves.

        Args:
            timeout: Seconds to wait, `None` for no limit.
        """
        deadline = Deadline(timeout)
        while not (self.is_settled or self._stopping.is_set() or deadline.passed):
            time.sleep(0.01)
        return self.is_available

    @contextlib.contextmanager
    def lease(self, version: int | None = None) -> Iterator[Servable]:
        """Lends a loaded version, which stays loaded while the context lasts.

        Args:
            version: Number of the version, `None` for the newest that is loaded.

        Raises:
            ServingError: NOT_FOUND, if that version isn't loaded; UNAVAILABLE, if it
                crashed and is being loaded again.
        """
        with self._lock:
            found = self._latest() if version is None else self._versions.get(version)
            servable = found.servable if found is not None else None
            if servable is None:
                self._check_restarts(version)
                raise not_found(self.name, version)
            # Under the lock, so that the manager can't unload it in between.
            servable.acquire()
        try:
            yield servable
        finally:
            servable.release()

    def statuses(self) -> list[VersionStatus]:
        """Returns the state of every version that was ever seen, the newest first."""
        with self._lock:
            versions = sorted(self._versions.values(), key=lambda v: -v.number)
            return [version.status for version in versions]

    def _latest(self) -> Version | None:
        available = [v for v in self._versions.values() if v.state is State.AVAILABLE]
        return max(available, key=lambda v: v.number, default=None)

    def _check_restarts(self, version: int | None) -> None:
        for number, one in self._versions.items():
            if one.is_restarting and version in (None, number):
                raise ServingError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"version {number} of model {self.name} crashed, and is being"
                    " loaded again",
                )

    def _hopeless(self) -> ServingError | None:
        """Returns why none will serve without a change on disk, if none serves."""
        if self.options.poll_wait_seconds <= 0 and self._found == {}:
            return ServingError(
                grpc.StatusCode.NOT_FOUND,
                f"no version of model {self.name}: {self._said}; and polling is off"
                " (file_system_poll_wait_seconds=0)",
            )
        if any(v.state < State.AVAILABLE for v in self._versions.values()):
            return None
        failed = [v for v in self._versions.values() if v.error is not None]
        newest = max(failed, key=lambda v: v.number, default=None)
        if newest is not None and newest.error is not None:
            return ServingError(
                newest.error.code,
                f"version {newest.number} of model {self.name} did not load:"
                f" {newest.error.message}",
            )
        return None

    def _watch(self) -> None:
        polled = -math.inf
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                if self._found is None or time.monotonic() >= polled + (
                    self.options.poll_wait_seconds or math.inf
                ):
                    polled = time.monotonic()
                    self._poll()
                while self._step() and not self._stopping.is_set():
                    pass
                self._looked = True
                self._collect()
            except Exception:
                # Whatever it was, the loaded version must go on and be watched.
                _log.exception("model %s: the look at its versions failed", self.name)
            self._wake.wait(self._pause(polled))

    def _pause(self, polled: float) -> float | None:
        """Returns the seconds until there is something to do, `None` for never."""
        moments = [
            version.next_attempt
            for version in self._versions.values()
            if version.next_attempt is not None
        ]
        if self.options.poll_wait_seconds > 0:
            moments.append(polled + self.options.poll_wait_seconds)
        if not moments:
            return None
        return max(0.0, min(moments) - time.monotonic())

    def _poll(self) -> None:
        found = find_versions(self.config.base_path)
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

    def _step(self) -> bool:
        """Moves the versions one step towards what is wanted; tells if it did."""
        for version in self._versions.values():
            version.collect_crash()
        found = self._found or {}
        failing = {v.number for v in self._versions.values() if v.failures}
        wanted = self.config.policy.choose(found, failing)
        for number, version in list(self._versions.items()):
            if number not in wanted and version.failures:
                version.give_up()
        if not wanted:
            return False
        # The newest first; an older one may stand in only once that has failed.
        for number in sorted(wanted, reverse=True):
            version = self._wanted(number, found[number])
            if version.is_due():
                self._load(version)
                return True
        self._unload_all_but(wanted)
        return False

    def _unload_all_but(self, wanted: set[int]) -> None:
        """Unloads what isn't wanted, if all serves that is wanted and can be loaded."""
        ready = [v for n, v in self._versions.items() if n in wanted and not v.failures]
        if ready and all(v.state is State.AVAILABLE for v in ready):
            for number, version in list(self._versions.items()):
                if number not in wanted and version.state is State.AVAILABLE:
                    version.unload(self._unloaded)

    def _unloaded(self) -> None:
        self._garbage.set()
        # It may be wanted again by now.
        self._wake.set()

    def _wanted(self, number: int, path: str) -> Version:
        version = self._versions.get(number)
        if version is None or (version.state is State.END and not version.failures):
            version = Version(self.name, number, path, self.options, self._lock)
            with self._lock:
                self._versions[number] = version
        return version

    def _collect(self) -> None:
        # A TensorFlow graph is full of reference cycles, and a process that does
        # nothing but answer makes too little garbage for Python to look for them.
        if self._garbage.is_set():
            self._garbage.clear()
            gc.collect()

    def _load(self, version: Version) -> None:
        version.load(self._loader, self._stopping.is_set, self._wake.set)
        if version.error is None:
            return
        seconds = self.options.load_retry_interval_micros / 1e6
        serving = self._latest()
        _log.error(
            "model %s: version %d at %s failed to load (attempt %d of %d, %s; %s): %s",
            self.name,
            version.number,
            version.path,
            version.failures,
            self.options.max_num_load_retries + 1,
            "given up" if version.state is State.END else f"next in {seconds:g} s",
            f"version {serving.number} goes on" if serving else "nothing serves",
            " ".join(str(version.error).split()),
        )

"""Keeps the wanted versions of one model loaded, swaps them under load, lends them."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import threading
import time
from collections.abc import Collection, Iterator

import grpc
from tensorflow_serving.apis import model_pb2

from serving.deadlines import Deadline
from serving.embedded.admission import Admission
from serving.embedded.errors import not_found
from serving.embedded.lifecycle import Loader, LoadOptions, Version
from serving.embedded.servable import Servable
from serving.errors import ServingError, invalid
from serving.model_config import ModelConfig
from serving.policies import Specific
from serving.status import State, VersionStatus
from serving.versions import find_versions

_log = logging.getLogger(__name__)

# Versions that have ended of which the state is told, the newest ones.
_REMEMBERED = 32


class ModelManager:
    """Watches a base path and serves the versions that the model's policy wants.

    A new version is loaded and warmed up before the old one goes, and the old one goes
    once its last request has ended. A load that fails leaves the old version serving,
    and is tried again: after the retry interval, and at once when the version's files
    have changed and come to rest (a copy that was slow). A version that crashes is
    loaded again, later each time; the first time, a load of another one is put off.
    A version that was removed gives way to the newest that is left; when none is left,
    or the base path can't be read, the loaded version stays. A new base path is new
    versions, even of the same numbers: the old go once these serve.

    One thread loads and unloads; the lock is for what others look at.

    Args:
        config: The model.
        loader: Loads a version.
        options: When to look and to load.
        admission: How many requests may run and wait.
    """

    def __init__(
        self,
        config: ModelConfig,
        loader: Loader,
        options: LoadOptions,
        admission: Admission,
    ) -> None:
        self.name = config.name
        self.config = config
        self.options = options
        self.admission = admission
        self._loader = loader
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        # By path: another base path may have the same numbers.
        self._versions: dict[str, Version] = {}
        self._found: dict[int, str] | None = None
        self._next_poll = 0.0
        self._settled = self._moving = False
        self._said = ""
        self._garbage = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name=f"model-manager-{self.name}", daemon=True
        )

    def start(self) -> None:
        """Starts to watch, in a thread of its own."""
        self._thread.start()

    def configure(self, config: ModelConfig) -> None:
        """Takes another configuration of the model; its labels count at once."""
        with self._lock:
            if config.base_path != self.config.base_path:
                self._found, self._moving = None, True
            self.config = config
            self._settled = False
            self._next_poll = 0.0
        self._wake.set()

    def stop(self, timeout: float | None = 30.0) -> None:
        """Stops to watch and unloads every version, after its requests in flight.

        Args:
            timeout: Seconds to wait for a load that is under way, `None` for no limit;
                it is unloaded all the same, later.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def is_available(self) -> bool:
        """Whether a version serves that is at the base path."""
        with self._lock:
            return self._serves()

    @property
    def is_moving(self) -> bool:
        """Whether no version has served yet since the base path changed."""
        with self._lock:
            return self._moving

    @property
    def hopeless(self) -> ServingError | None:
        """Why no version will serve without a change on disk, `None` if one may."""
        with self._lock:
            return self._hopeless() if self._settled and not self._serves() else None

    @property
    def is_settled(self) -> bool:
        """Whether each version that is wanted was tried, and none is being loaded."""
        with self._lock:
            return self._settled

    def wait_until_settled(self, timeout: float | None = None) -> bool:
        """Waits until each version that is wanted was tried; tells if one serves.

        Args:
            timeout: Seconds to wait, `None` for no limit.
        """
        deadline = Deadline(timeout)
        while not (self.is_settled or self._stopping.is_set() or deadline.passed):
            time.sleep(0.01)
        return self.is_available

    @contextlib.contextmanager
    def lease(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """Lends a loaded version, which stays loaded while the context lasts.

        Args:
            spec: Asks for a version, by number or label, or for the newest.

        Raises:
            ServingError: INVALID_ARGUMENT for an unknown label; NOT_FOUND, if that
                version isn't loaded; UNAVAILABLE, if it crashed and is being loaded
                again.
        """
        with self._lock:
            version = self._asked(spec)
            found = self._latest(version)
            if found is None or found.servable is None:
                self._check_restarts(version)
                raise not_found(self.name, version)
            servable = found.servable
            # Under the lock, so that the manager can't unload it in between.
            servable.acquire()
        try:
            yield servable
        finally:
            servable.release()

    def statuses(self) -> list[VersionStatus]:
        """Returns the state of each version, the newest first.

        Of those that have ended, the newest 32. Of two with one number, that of the one
        that serves, or else of the one at the base path.
        """
        with self._lock:
            versions = sorted(
                self._versions.values(),
                key=lambda v: (v.state is State.AVAILABLE, self._is_found(v)),
            )
            found = {version.number: version.status for version in versions}
        return [found[number] for number in sorted(found, reverse=True)]

    def _asked(self, spec: model_pb2.ModelSpec) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            if spec.version_label not in self.config.labels:
                raise invalid(
                    f"Unrecognized servable version label: {spec.version_label}"
                )
            return self.config.labels[spec.version_label]
        version: int = spec.version.value
        return version if choice == "version" else None

    def _latest(self, number: int | None = None) -> Version | None:
        available = [
            version
            for version in self._versions.values()
            if version.state is State.AVAILABLE and number in (None, version.number)
        ]
        return max(available, key=lambda v: v.number, default=None)

    def _serves(self) -> bool:
        return any(
            version.state is State.AVAILABLE and self._is_found(version)
            for version in self._versions.values()
        )

    def _is_found(self, version: Version) -> bool:
        return (self._found or {}).get(version.number) == version.path

    def _wanted(self) -> dict[int, str]:
        """Returns the directories of the versions to serve, by number."""
        found = self._found or {}
        failing = {
            version.number
            for version in self._versions.values()
            if version.failures and self._is_found(version)
        }
        return {n: found[n] for n in self.config.policy.choose(found, failing)}

    def _check_restarts(self, version: int | None) -> None:
        for one in self._versions.values():
            if one.is_restarting and version in (None, one.number):
                raise ServingError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"version {one.number} of model {self.name} crashed, and is being"
                    " loaded again",
                )

    def _hopeless(self) -> ServingError | None:
        """Returns why none will serve without a change on disk, if none serves."""
        if self.options.poll_wait_seconds <= 0 and not self._wanted():
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
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                if time.monotonic() >= self._next_poll:
                    self._next_poll = time.monotonic() + (
                        self.options.poll_wait_seconds or math.inf
                    )
                    self._poll()
                while self._step() and not self._stopping.is_set():
                    pass
                with self._lock:
                    # Unless it was configured meanwhile, and is to look again.
                    self._settled = self._next_poll > 0
                    self._moving = self._moving and not self._serves()
                self._collect()
            except Exception:
                # Whatever it was, the loaded version must go on and be watched.
                _log.exception("model %s: the look at its versions failed", self.name)
            self._wake.wait(self._pause())
        for version in self._versions.values():
            version.retire(self._unloaded)

    def _pause(self) -> float | None:
        """Returns the seconds until there is something to do, `None` for never."""
        moments = [
            version.next_attempt
            for version in self._versions.values()
            if version.next_attempt is not None
        ]
        moment = min([self._next_poll, *moments])
        return None if moment == math.inf else max(0.0, moment - time.monotonic())

    def _poll(self) -> None:
        config = self.config
        found = find_versions(config.base_path)
        problem = found.problem or _missing(config, found.versions)
        if problem and problem != self._said:
            if self._latest() is None:
                _log.warning("waiting for model %s: %s", self.name, problem)
            else:
                _log.warning(
                    "model %s: %s; the loaded version goes on", self.name, problem
                )
        self._said = problem
        with self._lock:
            has_moved = config.base_path != self.config.base_path
            # Nothing there is taken for a fault of the storage, not for a wish to
            # unload.
            if not has_moved and (found.versions or self._found is None):
                self._found = found.versions

    def _step(self) -> bool:
        """Moves the versions one step towards what is wanted; tells if it did."""
        for version in self._versions.values():
            version.collect_crash()
        with self._lock:
            wanted = self._wanted()
            for number, path in wanted.items():
                self._add(number, path)
            self._forget()
        # What has crashed before what is new, and the newest first; an older one may
        # stand in only once that has failed.
        paths = set(wanted.values())
        for version in sorted(
            self._versions.values(), key=lambda v: (not v.is_restarting, -v.number)
        ):
            if (version.path in paths or version.is_restarting) and version.is_due():
                self._load(version)
                return True
        self._retire_all_but(paths)
        return False

    def _add(self, number: int, path: str) -> None:
        version = self._versions.get(path)
        if version is None or (version.state is State.END and not version.failures):
            version = Version(self.name, number, path, self.options, self._lock)
            self._versions[path] = version

    def _forget(self) -> None:
        # Each request looks at all versions, and a model may serve thousands.
        ended = [
            version
            for version in self._versions.values()
            if version.state is State.END and not version.failures
        ]
        ended.sort(key=lambda version: version.number, reverse=True)
        for version in ended[_REMEMBERED:]:
            del self._versions[version.path]

    def _retire_all_but(self, paths: set[str]) -> None:
        """Ends what isn't wanted; what is up once all serves that can be loaded."""
        ready = [v for p, v in self._versions.items() if p in paths and not v.failures]
        replaced = ready and all(v.state is State.AVAILABLE for v in ready)
        for path, version in self._versions.items():
            if path not in paths and (replaced or not version.is_up):
                version.retire(self._unloaded)

    def _unloaded(self) -> None:
        self._garbage.set()
        # It may be wanted again by now.
        self._wake.set()

    def _collect(self) -> None:
        # A TensorFlow graph is full of reference cycles, and a process that does
        # nothing but answer makes too little garbage for Python to look for them.
        if self._garbage.is_set():
            self._garbage.clear()
            gc.collect()

    def _load(self, version: Version) -> None:
        def cancelled() -> bool:
            if self._stopping.is_set():
                return True
            with self._lock:
                # What has crashed gives way to nothing.
                return not version.is_restarting and (
                    version.path not in self._wanted().values()
                    or any(one.has_crashed_first for one in self._versions.values())
                )

        self._settled = False
        failures = version.failures
        version.load(self._loader, cancelled, self._wake.set)
        if version.failures <= failures:
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


def _missing(config: ModelConfig, found: Collection[int]) -> str:
    """Returns which versions are wanted and not there; empty if all are."""
    if isinstance(config.policy, Specific):
        missing = config.policy.versions.difference(found)
        if missing:
            return (
                f"expected version {_listed(missing)} at {config.base_path}, found"
                f" {_listed(found)}; put it there, or change model_version_policy and"
                " version_labels"
            )
    return ""


def _listed(versions: Collection[int]) -> str:
    return ", ".join(map(str, sorted(versions)))

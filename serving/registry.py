"""The models of a server: which there are, and which version a request asks for."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import grpc
from tensorflow_serving.apis import model_pb2

from serving.admission import Admission, Cancellation
from serving.deadlines import Deadline
from serving.errors import ServingError, invalid, not_found
from serving.lifecycle import Loader, LoadOptions
from serving.manager import ModelManager
from serving.model import Model
from serving.model_config import LogConfig, ModelConfig
from serving.servable import Servable
from serving.status import State, VersionStatus

_log = logging.getLogger(__name__)

#: Seconds that a start waits for the other models, once one serves.
OTHERS_WAIT = 30.0


class _Successor(NamedTuple):
    """A manager that is to come in the place of another one, and whether that is done.

    It is done, too, when the manager was given up: no version loads, or none is wanted.
    """

    manager: ModelManager
    done: threading.Event


class ModelRegistry:
    """The models of a server, by name.

    Args:
        loader: Loads a version.
        options: When to look for versions and load them.
        running: Most requests to a model that run at a time.
        waiting: Most requests to a model that wait for their turn.
        allow_unavailable_labels: Whether a new label may point to a version that is not
            available yet.
    """

    def __init__(
        self,
        loader: Loader,
        options: LoadOptions,
        *,
        running: int,
        waiting: int,
        allow_unavailable_labels: bool,
    ) -> None:
        self._loader = loader
        self._options = options
        self._running = running
        self._waiting = waiting
        self._allow_unavailable_labels = allow_unavailable_labels
        self._configuring = threading.Lock()
        # Replaced as a whole, never changed, so that requests need no lock.
        self._managers: Mapping[str, ModelManager] = {}
        self._configs: Mapping[str, ModelConfig] = {}
        # Those that are to replace one of the same name, once they serve.
        self._successors: dict[str, _Successor] = {}
        self._admissions: dict[str, Admission] = {}
        # Those that are being unloaded, too, until their last request has ended.
        self._models: weakref.WeakSet[Model] = weakref.WeakSet()
        self._models_lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return list(self._managers)

    def newest_available(self) -> int:
        """Returns the newest version of the first model that serves, 0 for none."""
        for manager in self._managers.values():
            for status in manager.statuses():
                if status.state is State.AVAILABLE:
                    return status.version
        return 0

    def start(
        self,
        configs: Mapping[str, ModelConfig],
        timeout: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Loads the first models.

        One that can't be loaded is left to be tried again, as long as another serves,
        and one that takes longer than 30 s more than that to be loaded meanwhile.

        Args:
            configs: The models by name.
            timeout: Seconds to wait for a version of any, `None` for no limit.
            cancelled: Asked several times a second; true ends the wait.

        Raises:
            ServingError: No model serves: each was given up (with the code of the
                first one's load), the time is over (DEADLINE_EXCEEDED), or the wait was
                CANCELLED; or a label is for a version that isn't available.
        """
        with self._configuring:
            self._check_labels(configs)
            managers = {name: self._manager(config) for name, config in configs.items()}
            self._configs = dict(configs)
            for manager in managers.values():
                manager.start()
            # At once, for stop() to find them whatever comes.
            self._managers = managers
            deadline = Deadline(timeout)
            _wait_until_settled(managers, deadline, cancelled)
            while managers and not any(m.is_available for m in managers.values()):
                failures = [manager.hopeless for manager in managers.values()]
                if failures[0] is not None and None not in failures:
                    raise failures[0]
                if cancelled():
                    raise ServingError(
                        grpc.StatusCode.CANCELLED, "stopped before a model was loaded"
                    )
                if deadline.passed:
                    raise ServingError(
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                        f"no version of {', '.join(managers)} was loaded in"
                        f" {timeout:g} s",
                    )
                time.sleep(0.01)

    def reload(
        self, configs: Mapping[str, ModelConfig], timeout: float | None = None
    ) -> None:
        """Replaces the configuration.

        The labels change first, at once; then models are added, changed and removed.
        A model whose base path changes goes on with the old one until the new one
        serves.

        Args:
            configs: All models by name.
            timeout: Seconds to wait for new models to serve, `None` for no limit.

        Raises:
            ServingError: FAILED_PRECONDITION for a label of a version that isn't
                available, and nothing was changed; UNKNOWN, if some model did not
                become available, and the others were.
        """
        deadline = Deadline(timeout)
        with self._configuring:
            self._check_labels(configs)
            self._configs = dict(configs)
            fresh = self._change(configs)
            successors = dict(self._successors)
        # Without the lock: a model that hangs must not keep others from being changed.
        missing = [
            name
            for name, manager in fresh.items()
            if not manager.wait_until_settled(deadline.left())
        ]
        for name, (manager, done) in successors.items():
            if not (done.wait(deadline.left()) and manager.is_available):
                missing.append(name)
        if missing:
            raise ServingError(
                grpc.StatusCode.UNKNOWN,
                "Some models did not become available: {" + ", ".join(missing) + "}",
            )

    def _change(self, configs: Mapping[str, ModelConfig]) -> dict[str, ModelManager]:
        """Makes the models those of a configuration; returns those of new names."""
        managers = dict(self._managers)
        fresh: dict[str, ModelManager] = {}
        for name, config in configs.items():
            if name in self._successors:
                successor = self._successors[name].manager
                if successor.config.base_path == config.base_path:
                    successor.configure(config)
                    continue
                self._give_up(name)
            old = managers.get(name)
            if old is not None and old.config.base_path == config.base_path:
                old.configure(config)
                continue
            manager = self._manager(config)
            manager.start()
            if old is None:
                # Known from now on, so that its status can be asked.
                managers[name] = fresh[name] = manager
            else:
                self._successors[name] = _Successor(manager, threading.Event())
                threading.Thread(
                    target=self._succeed, args=(name, manager), daemon=True
                ).start()
        for name in managers.keys() - configs.keys():
            _log.info("model %s is no longer configured", name)
            self._retire(managers.pop(name))
            if name in self._successors:
                self._give_up(name)
        self._managers = managers
        return fresh

    def _give_up(self, name: str) -> None:
        successor = self._successors.pop(name)
        self._retire(successor.manager)
        successor.done.set()

    def _succeed(self, name: str, manager: ModelManager) -> None:
        """Puts a manager in the place of the old one once it serves, or gives it up."""
        manager.wait_until_settled()
        with self._configuring:
            successor = self._successors.get(name)
            if successor is not None and successor.manager is manager:
                if not manager.is_available:
                    self._give_up(name)
                    return
                del self._successors[name]
                old = self._managers[name]
                # First, for requests that come meanwhile.
                self._managers = {**self._managers, name: manager}
                self._retire(old)
                successor.done.set()

    def stop(self) -> None:
        """Unloads every model; requests that still run end with an error."""
        # Without the lock, which a start keeps that still waits for its models.
        managers = [
            *self._managers.values(),
            *[one.manager for one in list(self._successors.values())],
        ]
        threads = [threading.Thread(target=manager.stop) for manager in managers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with self._models_lock:
            models = list(self._models)
        for model in models:
            model.abort()

    @contextlib.contextmanager
    def lease(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[Servable]:
        """Lends the version that a request asks for, loaded while the context lasts.

        Args:
            request: Any request with a `model_spec`, or a MultiInferenceRequest.
            timeout: Seconds that it may wait for its turn, `None` for no limit.
            cancellation: Ends that wait; `None` if nothing can.

        Raises:
            ServingError: INVALID_ARGUMENT for a spec that is missing, has no name or
                has an unknown label; NOT_FOUND for a model or version that isn't there;
                RESOURCE_EXHAUSTED or DEADLINE_EXCEEDED if the model is busy; CANCELLED.
        """
        spec = _model_spec(request)
        self._found(spec)
        admission = self._admissions[spec.name]
        admission.enter(timeout, cancellation)
        try:
            # After the wait, in which the model may have changed, or a label moved.
            with self._lend(spec) as servable:
                yield servable
        finally:
            admission.leave()

    @contextlib.contextmanager
    def look(self, request: Any) -> Iterator[Servable]:
        """Lends the version that a request asks for, to look at and not to run.

        A model that is busy can be looked at.

        Args:
            request: Any request with a `model_spec`.

        Raises:
            ServingError: INVALID_ARGUMENT and NOT_FOUND as `lease`.
        """
        spec = _model_spec(request)
        with self._lend(spec) as servable:
            yield servable

    @contextlib.contextmanager
    def _lend(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        with contextlib.ExitStack() as stack:
            servable = None
            while servable is None:
                sought = self._found(spec), self._version(spec)
                manager, version = sought
                try:
                    servable = stack.enter_context(manager.lease(version))
                except ServingError:
                    # Since it was looked up, it may have been unloaded for another one.
                    if (self._found(spec), self._version(spec)) == sought:
                        raise
            yield servable

    def statuses(self, request: Any) -> list[VersionStatus]:
        """Returns the states of the versions that a request asks for.

        Args:
            request: Any request with a `model_spec`. A label in it is ignored, as in
                TensorFlow Serving.

        Returns:
            The one version of the spec, or all of the model, the newest first.

        Raises:
            ServingError: INVALID_ARGUMENT for a missing spec, NOT_FOUND for a model or
                a version that was never seen.
        """
        spec = _model_spec(request)
        manager = self._managers.get(spec.name)
        statuses = manager.statuses() if manager is not None else []
        if spec.WhichOneof("version_choice") == "version":
            statuses = [s for s in statuses if s.version == spec.version.value]
            missing = f"version {spec.version.value}"
        else:
            missing = "any versions"
        if not statuses:
            raise ServingError(
                grpc.StatusCode.NOT_FOUND,
                f"Could not find {missing} of model {spec.name}",
            )
        return statuses

    def name_of(self, request: Any) -> str:
        """Returns the name of the model that a request asks for; empty if unknown.

        Args:
            request: Any request with a `model_spec`, or a MultiInferenceRequest.
        """
        with contextlib.suppress(ServingError):
            name: str = _model_spec(request).name
            return name if name in self._managers else ""
        return ""

    def log_config(self, name: str) -> LogConfig | None:
        """Returns which requests to a model are written to files, `None` for none."""
        config = self._configs.get(name)
        return config.log if config is not None else None

    def _found(self, spec: model_pb2.ModelSpec) -> ModelManager:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        manager = self._managers.get(spec.name)
        if manager is None:
            raise not_found(spec.name, self._version(spec))
        return manager

    def _labels(self, name: str) -> Mapping[str, int]:
        config = self._configs.get(name)
        return config.labels if config is not None else {}

    def _version(self, spec: model_pb2.ModelSpec) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            labels = self._labels(spec.name)
            if spec.version_label not in labels:
                raise invalid(
                    f"Unrecognized servable version label: {spec.version_label}"
                )
            return labels[spec.version_label]
        version: int = spec.version.value
        return version if choice == "version" else None

    def _check_labels(self, configs: Mapping[str, ModelConfig]) -> None:
        for name, config in configs.items():
            manager = self._managers.get(name)
            statuses = manager.statuses() if manager is not None else []
            available = {s.version for s in statuses if s.state is State.AVAILABLE}
            known = self._labels(name)
            for label, version in config.labels.items():
                is_new = known.get(label, version) == version
                if version in available or (self._allow_unavailable_labels and is_new):
                    continue
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {name},"
                    " which is not currently available for inference",
                )

    def _manager(self, config: ModelConfig) -> ModelManager:
        self._admissions.setdefault(
            config.name, Admission(config.name, self._running, self._waiting)
        )
        return ModelManager(config, self._load, self._options)

    def _load(
        self,
        path: str,
        *,
        cancelled: Callable[[], bool],
        on_failure: Callable[[], None],
    ) -> Model:
        model = self._loader(path, cancelled=cancelled, on_failure=on_failure)
        with self._models_lock:
            self._models.add(model)
        return model

    @staticmethod
    def _retire(manager: ModelManager) -> None:
        threading.Thread(target=manager.stop, daemon=True).start()


def _wait_until_settled(
    managers: Mapping[str, ModelManager],
    deadline: Deadline,
    cancelled: Callable[[], bool],
) -> None:
    others = Deadline(None)
    while slow := [name for name, one in managers.items() if not one.is_settled]:
        if others.seconds is None and any(m.is_available for m in managers.values()):
            others = Deadline(OTHERS_WAIT)
        if cancelled() or deadline.passed or others.passed:
            _log.warning("not waited for, though still loading: %s", ", ".join(slow))
            return
        time.sleep(0.01)


def _model_spec(request: Any) -> model_pb2.ModelSpec:
    if "tasks" in request.DESCRIPTOR.fields_by_name:
        return request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec

"""The models of a server: which there are, and which of them a request gets."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from tensorflow_serving.apis import model_pb2

from serving.deadlines import Deadline
from serving.embedded.admission import Admission, Cancellation
from serving.embedded.errors import not_found
from serving.embedded.lifecycle import Loader, LoadOptions
from serving.embedded.manager import ModelManager
from serving.embedded.model import Model
from serving.embedded.servable import Servable
from serving.errors import ServingError, invalid
from serving.model_config import LogConfig, ModelConfig
from serving.status import State, VersionStatus

_log = logging.getLogger(__name__)

#: Seconds that a start waits for the other models, once one serves.
OTHERS_WAIT = 30.0


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

        Returns once each model serves or was given up, or 30 s after the first one
        serves. As long as any serves, those that failed are tried again later, and slow
        ones go on loading.

        Args:
            configs: The models by name.
            timeout: Seconds to wait for a version of any, `None` for no limit.
            cancelled: Asked several times a second; true ends the wait.

        Raises:
            ServingError: No model serves: each was given up (with the code of the
                first one's load), the time is over (DEADLINE_EXCEEDED), or the wait was
                CANCELLED; or a label is for a version that isn't available.
        """
        managers = self._configure(configs)
        deadline = Deadline(timeout)
        while managers and not any(one.is_available for one in managers):
            failures = [manager.hopeless for manager in managers]
            if failures[0] is not None and None not in failures:
                raise failures[0]
            if cancelled():
                raise ServingError(
                    grpc.StatusCode.CANCELLED, "stopped before a model was loaded"
                )
            if deadline.passed:
                raise ServingError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"no version of {', '.join(configs)} was loaded in {timeout:g} s",
                )
            time.sleep(0.01)
        others = Deadline(OTHERS_WAIT)
        while slow := [one.name for one in managers if not one.is_settled]:
            if cancelled() or deadline.passed or others.passed:
                _log.warning(
                    "not waited for, though still loading: %s", ", ".join(slow)
                )
                return
            time.sleep(0.01)

    def reload(
        self, configs: Mapping[str, ModelConfig], timeout: float | None = None
    ) -> None:
        """Replaces the configuration.

        Models are added, changed and removed; labels change at once. A model whose base
        path changes goes on with the old versions until the new ones serve, however
        often these fail. If another reload comes meanwhile, it is the models as that
        one has them that are waited for.

        Args:
            configs: All models by name.
            timeout: Seconds to wait for models that are new, or whose base path
                changes, to serve; `None` for no limit.

        Raises:
            ServingError: FAILED_PRECONDITION for a label of a version that isn't
                available, and nothing was changed; UNKNOWN, if some of these did not
                become available, and the others were.
        """
        deadline = Deadline(timeout)
        missing = [
            manager.name
            for manager in self._configure(configs)
            if not manager.wait_until_settled(deadline.left())
        ]
        if missing:
            raise ServingError(
                grpc.StatusCode.UNKNOWN,
                "Some models did not become available: {" + ", ".join(missing) + "}",
            )

    def _configure(self, configs: Mapping[str, ModelConfig]) -> list[ModelManager]:
        """Makes the models those of a configuration; returns those yet to serve it."""
        with self._configuring:
            self._check_labels(configs)
            before = self._managers
            # Before they start, for stop() to find them whatever comes.
            self._managers = {
                name: before.get(name) or self._manager(config)
                for name, config in configs.items()
            }
            for name, manager in self._managers.items():
                if name in before:
                    manager.configure(configs[name])
                else:
                    manager.start()
            for name in before.keys() - configs.keys():
                _log.info("model %s is no longer configured", name)
                threading.Thread(target=before[name].stop, daemon=True).start()
            return [
                manager
                for name, manager in self._managers.items()
                if name not in before or manager.is_moving
            ]

    def _manager(self, config: ModelConfig) -> ModelManager:
        admission = Admission(config.name, self._running, self._waiting)
        return ModelManager(config, self._load, self._options, admission)

    def stop(self) -> None:
        """Unloads every model; requests that still run end with an error."""
        threads = [
            threading.Thread(target=manager.stop) for manager in self._managers.values()
        ]
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
        admission = self._found(spec).admission
        admission.enter(timeout, cancellation)
        try:
            # After the wait, in which the model may have been configured anew.
            with self._found(spec).lease(spec) as servable:
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
        with self._found(spec).lease(spec) as servable:
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
        manager = self._managers.get(name)
        return manager.config.log if manager is not None else None

    def _found(self, spec: model_pb2.ModelSpec) -> ModelManager:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        manager = self._managers.get(spec.name)
        if manager is not None:
            return manager
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        raise not_found(spec.name, spec.version.value if choice == "version" else None)

    def _check_labels(self, configs: Mapping[str, ModelConfig]) -> None:
        for name, config in configs.items():
            manager = self._managers.get(name)
            statuses = manager.statuses() if manager is not None else []
            available = {s.version for s in statuses if s.state is State.AVAILABLE}
            known = manager.config.labels if manager is not None else {}
            for label, version in config.labels.items():
                moves = known.get(label, version) != version
                if version in available:
                    continue
                if self._allow_unavailable_labels and not moves:
                    continue
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {name},"
                    " which is not currently available for inference",
                )

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


def _model_spec(request: Any) -> model_pb2.ModelSpec:
    if "tasks" in request.DESCRIPTOR.fields_by_name:
        return request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec

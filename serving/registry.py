"""Finds the model, and the version of it, that a request's ModelSpec asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from tensorflow_serving.apis import model_pb2

from serving.errors import ServingError
from serving.manager import ModelManager
from serving.servable import Servable
from serving.status import VersionStatus


class ModelRegistry:
    """The models of a server, by name.

    Args:
        managers: One a model.
    """

    def __init__(self, managers: Iterable[ModelManager]) -> None:
        self._managers = {manager.name: manager for manager in managers}

    @contextlib.contextmanager
    def lease(self, request: Any) -> Iterator[Servable]:
        """Lends the version that a request asks for, loaded while the context lasts.

        Args:
            request: Any request with a `model_spec`.

        Raises:
            ServingError: INVALID_ARGUMENT for a spec that is missing, has no name or
                has an unknown label; NOT_FOUND for a model or version that isn't there.
        """
        spec = _model_spec(request)
        if not spec.name:
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified."
            )
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Unrecognized servable version label: {spec.version_label}",
            )
        version = spec.version.value if choice == "version" else None
        manager = self._managers.get(spec.name)
        if manager is None:
            what = f"Latest({spec.name})"
            if version is not None:
                what = f"Specific({spec.name}, {version})"
            raise ServingError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {what}"
            )
        with manager.lease(version) as servable:
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


def _model_spec(request: Any) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
    return request.model_spec

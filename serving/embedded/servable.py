"""One loaded version of a model, counted so that no request loses its session."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2

from serving.embedded.model import Model
from serving.errors import ServingError
from serving.methods import MethodName


class Servable:
    """A version of a model, ready to answer.

    Args:
        name: Name of the model.
        version: Number of the version.
        model: What answers; it is closed with the servable.

    Attributes:
        name: Name of the model.
        version: Number of the version.
    """

    def __init__(self, name: str, version: int, model: Model) -> None:
        self.name = name
        self.version = version
        self._model = model
        self._lock = threading.Lock()
        self._in_flight = 0
        self._closing = False
        self._on_closed: Callable[[], None] = lambda: None

    @property
    def signatures(self) -> Mapping[str, meta_graph_pb2.SignatureDef]:
        """The model's signatures by name."""
        return self._model.signatures

    def call(
        self, method: MethodName, request: Any, timeout: float | None = None
    ) -> Any:
        """Answers one request; call it between `acquire` and `release`.

        Args:
            method: The method.
            request: The request. Its model name and version are not looked at.
            timeout: Seconds that it may take, `None` for no limit.

        Returns:
            The response, which names this model, this version and the signature.

        Raises:
            ServingError: As `serving.embedded.model.Model.call`.
        """
        response = self._model.call(method, request, timeout)
        parts = response.results if method == "MultiInference" else [response]
        for part in parts:
            part.model_spec.name = self.name
            part.model_spec.version.value = self.version
        return response

    def acquire(self) -> None:
        """Counts a request in; `release` must follow.

        Raises:
            ServingError: UNAVAILABLE, if `close` was called before.
        """
        with self._lock:
            if self._closing:
                raise ServingError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"Version {self.version} of model {self.name} is being unloaded",
                )
            self._in_flight += 1

    def release(self) -> None:
        """Counts a request out; the last that was awaited has the model freed."""
        with self._lock:
            self._in_flight -= 1
            free = self._closing and self._in_flight == 0
        if free:
            # It may take seconds, for which the answer must not wait.
            threading.Thread(target=self._free, name=f"free-{self.name}").start()

    def close(self, on_closed: Callable[[], None] = lambda: None) -> None:
        """Takes no more requests, and frees the model once none is in flight.

        Args:
            on_closed: Called when the model has been freed: in this thread, or in one
                of its own after the last request.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._on_closed = on_closed
            free = self._in_flight == 0
        if free:
            self._free()

    def _free(self) -> None:
        self._model.close()
        self._on_closed()

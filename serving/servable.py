"""One loaded version of a model, counted so that no request loses its session."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.errors import ServingError
from serving.predict import Predictor
from serving.session import SavedModelSession
from serving.warmup import warm_up


class Servable:
    """A version of a model, ready to answer.

    Args:
        name: Name of the model.
        version: Number of the version.
        path: Directory of its SavedModel.
        enable_warmup: Whether to run the model's own warm-up requests.
        tags: Tags of the meta graph to load.

    Raises:
        ServingError: The model can't be loaded, or a warm-up request failed.

    Attributes:
        name: Name of the model.
        version: Number of the version.
        warmup_records: Number of warm-up records run.
    """

    def __init__(
        self,
        name: str,
        version: int,
        path: str,
        *,
        enable_warmup: bool = True,
        tags: Sequence[str] = ("serve",),
    ) -> None:
        self.name = name
        self.version = version
        self.warmup_records = 0
        self._lock = threading.Lock()
        self._in_flight = 0
        self._closing = False
        self._on_closed: Callable[[], None] = lambda: None
        self._session = SavedModelSession(path, tags)
        self._predictor = Predictor(self._session)
        if enable_warmup:
            try:
                self.warmup_records = warm_up(path, self._predictor.predict)
            except BaseException:
                self.close()
                raise

    @property
    def signatures(self) -> Mapping[str, meta_graph_pb2.SignatureDef]:
        """The model's signatures by name."""
        return self._session.signatures

    def predict(
        self, request: predict_pb2.PredictRequest
    ) -> predict_pb2.PredictResponse:
        """Answers one request; call it inside `lease`.

        Args:
            request: The request. Its model name and version are not looked at.

        Returns:
            The response, which names this model, this version and the signature.

        Raises:
            ServingError: As `serving.predict.Predictor.predict`.
        """
        response = self._predictor.predict(request)
        response.model_spec.name = self.name
        response.model_spec.version.value = self.version
        return response

    @contextlib.contextmanager
    def lease(self) -> Iterator[Servable]:
        """Keeps the session alive while the context lasts.

        Raises:
            ServingError: UNAVAILABLE, if `close` was called before.
        """
        self.acquire()
        try:
            yield self
        finally:
            self.release()

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
        """Counts a request out, and frees the session if it was the last awaited."""
        with self._lock:
            self._in_flight -= 1
            free = self._closing and self._in_flight == 0
        if free:
            self._free()

    def close(self, on_closed: Callable[[], None] = lambda: None) -> None:
        """Takes no more requests, and frees the session once none is in flight.

        Args:
            on_closed: Called when the session has been freed, in whichever thread ended
                the last request.
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
        self._predictor.close()
        self._session.close()
        self._on_closed()

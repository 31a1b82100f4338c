"""A loaded SavedModel that answers TensorFlow Serving's requests, in this process."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tensorflow.core.protobuf import meta_graph_pb2

from serving.embedded.batching import BatchingOptions
from serving.embedded.execution import Executor
from serving.embedded.inference import infer, multi_inference
from serving.embedded.predict import predict
from serving.embedded.session import SavedModelSession, Threads
from serving.embedded.warmup import warm_up
from serving.methods import MethodName
from serving.signatures import CLASSIFY, REGRESS

_METHODS: dict[MethodName, Callable[..., Any]] = {
    "Predict": predict,
    "Classify": functools.partial(infer, CLASSIFY),
    "Regress": functools.partial(infer, REGRESS),
    "MultiInference": multi_inference,
}


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """How a version of a model is loaded and run.

    Attributes:
        tags: Tags of the meta graph to load.
        enable_warmup: Whether to run the model's own warm-up requests.
        batching: How requests of several callers are put together, `None` for not.
        threads: How many run the graph.
        inline: As of `SavedModelSession`, for those who keep deadlines themselves.
    """

    tags: tuple[str, ...] = ("serve",)
    enable_warmup: bool = True
    batching: BatchingOptions | None = None
    threads: Threads = dataclasses.field(default_factory=Threads)
    inline: bool = False


class Model(Protocol):
    """What answers the requests to one version."""

    @property
    def signatures(self) -> Mapping[str, meta_graph_pb2.SignatureDef]:
        """The model's signatures by name."""

    @property
    def warmup_records(self) -> int:
        """Number of warm-up records run."""

    def call(
        self, method: MethodName, request: Any, timeout: float | None = None
    ) -> Any:
        """Answers one request.

        Args:
            method: The method.
            request: The request of that method.
            timeout: Seconds that it may take, `None` for no limit.

        Returns:
            The response of that method; of `model_spec` only `signature_name` is set.

        Raises:
            ServingError: What is wrong with the request, or with the model.
        """

    def abort(self) -> None:
        """Ends the calls under way with an error; only `close` may follow."""

    def close(self) -> None:
        """Frees the model. No call may be under way."""


class LoadedModel:
    """A model in this process.

    Args:
        path: Directory of its SavedModel.
        options: How to load and run it.

    Raises:
        ServingError: The model can't be loaded, or a warm-up request failed.
    """

    def __init__(self, path: str, options: ModelOptions) -> None:
        self._session = SavedModelSession(
            path, options.tags, inline=options.inline, threads=options.threads
        )
        self._executor = Executor(self._session, options.batching)
        self.signatures = self._session.signatures
        self.warmup_records = 0
        if options.enable_warmup:
            try:
                self.warmup_records = warm_up(path, self.call)
            except BaseException:
                self.close()
                raise

    def call(
        self, method: MethodName, request: Any, timeout: float | None = None
    ) -> Any:
        return _METHODS[method](self.signatures, self._executor, request, timeout)

    def abort(self) -> None:
        self._session.abort()

    def close(self) -> None:
        self._executor.close()
        self._session.close()

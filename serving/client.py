"""A client that takes rows, for the embedded server and TensorFlow Serving alike."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from midpg_tf.spec import DatasetSpec, ExampleEncoder, RowError
from serving.errors import ServingError, status_code
from serving.status import State, VersionStatus
from serving.tensors import to_array

#: The signature that the exported models have: serialized tf.Example in, scores out.
SIGNATURE = "serving_default"
INPUT = "examples"
OUTPUT = "score"

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that is starting should be found soon, not after gRPC's growing pauses.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class RequestRowError(RowError):
    """A row of a request doesn't match the data-set description.

    Args:
        index: Position of the row in the request, from 0.
        error: What is wrong with the row.

    Attributes:
        index: Position of the row in the request, from 0.
    """

    def __init__(self, index: int, error: RowError) -> None:
        super().__init__(error.column, error.problem)
        self.index = index
        self.args = (f"rows[{index}]: {error}",)


class Client:
    """Asks a model for scores. Safe to share between threads; close it after use.

    Args:
        target: The server, as `host:port`.
        model_name: Name of the model.
        spec: Description of the rows.
        timeout: Seconds that one request may take.
        rows_per_request: Most rows in one request; more are sent in several.
    """

    def __init__(
        self,
        target: str,
        model_name: str,
        spec: DatasetSpec,
        *,
        timeout: float = 10.0,
        rows_per_request: int = 1000,
    ) -> None:
        if rows_per_request < 1:
            raise ValueError(
                f"rows_per_request: expected at least 1, found {rows_per_request}"
            )
        self.target = target
        self.model_name = model_name
        self.timeout = timeout
        self.rows_per_request = rows_per_request
        self._encoder = ExampleEncoder(spec)
        # An HTTP proxy in the environment is not meant for this machine itself.
        local = target.rsplit(":", 1)[0] in ("127.0.0.1", "localhost", "[::1]")
        self._channel = grpc.insecure_channel(
            target, options=(*_OPTIONS, ("grpc.enable_http_proxy", int(not local)))
        )
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, rows: Iterable[Mapping[str, Any]]) -> np.ndarray:
        """Scores rows.

        Args:
            rows: Values by column, each row with every feature of the description.

        Returns:
            float32 (n,), the score of each row, in order.

        Raises:
            RequestRowError: A row lacks a column, or has a wrong value in it. Requests
                with the rows before it may have been sent.
            ServingError: The server answered an error, or not in time.
        """
        examples = self._encoded(rows)
        scores = []
        while chunk := list(itertools.islice(examples, self.rows_per_request)):
            scores.append(self._predict(chunk))
        return np.concatenate(scores) if scores else np.empty(0, np.float32)

    def metadata(self) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Returns the model's signatures by name.

        Raises:
            ServingError: The server answered an error, or not in time.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec(), metadata_field=["signature_def"]
        )
        response = self._call(self._predictions.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return dict(signatures.signature_def)

    def status(self) -> list[VersionStatus]:
        """Returns the state of each version that the server knows, the newest first.

        Raises:
            ServingError: The server answered an error, or not in time.
        """
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec())
        response = self._call(self._models.GetModelStatus, request)
        return [_version_status(entry) for entry in response.model_version_status]

    def wait_until_ready(self, timeout: float = 60.0) -> int:
        """Waits until a version of the model serves.

        Args:
            timeout: Seconds to wait.

        Returns:
            The newest version that serves.

        Raises:
            ServingError: DEADLINE_EXCEEDED, with what was last heard of the model.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                statuses = self.status()
            except ServingError as error:
                heard = str(error)
            else:
                ready = [s.version for s in statuses if s.state is State.AVAILABLE]
                if ready:
                    return max(ready)
                heard = ", ".join(
                    f"version {s.version} {s.state.name} {s.error or ''}".rstrip()
                    for s in statuses
                )
            if time.monotonic() >= deadline:
                raise ServingError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"model {self.model_name} at {self.target} did not serve within"
                    f" {timeout:g} s; last heard: {heard}",
                )
            time.sleep(0.1)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _encoded(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        for index, row in enumerate(rows):
            try:
                yield self._encoder.encode(row).SerializeToString()
            except RowError as error:
                raise RequestRowError(index, error) from error

    def _predict(self, examples: list[bytes]) -> np.ndarray:
        request = predict_pb2.PredictRequest(
            model_spec=self._spec(SIGNATURE), output_filter=[OUTPUT]
        )
        tensor = request.inputs[INPUT]
        tensor.dtype = types_pb2.DT_STRING
        tensor.tensor_shape.dim.add(size=len(examples))
        tensor.string_val.extend(examples)
        response = self._call(self._predictions.Predict, request)
        scores = to_array(OUTPUT, response.outputs[OUTPUT])
        if scores.shape != (len(examples),):
            raise ServingError(
                grpc.StatusCode.INTERNAL,
                f"output {OUTPUT} of model {self.model_name}: expected shape"
                f" ({len(examples)},), found {scores.shape}; export one score a row",
            )
        return scores.astype(np.float32, copy=False)

    def _spec(self, signature: str = "") -> model_pb2.ModelSpec:
        return model_pb2.ModelSpec(name=self.model_name, signature_name=signature)

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details() or "") from error


def _version_status(entry: get_model_status_pb2.ModelVersionStatus) -> VersionStatus:
    error = None
    if entry.status.error_code:
        error = ServingError(
            status_code(entry.status.error_code), entry.status.error_message
        )
    return VersionStatus(entry.version, State(entry.state), error)

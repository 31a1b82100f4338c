"""Steers a running server: states of versions, labels, and another configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from serving.client.base import statuses
from serving.client.channel import ClientTLS, open_channel
from serving.errors import ServingError, from_rpc_error, from_status
from serving.signatures import SIGNATURE_DEF
from serving.status import VersionStatus


class ServerControl:
    """Asks and configures a server, embedded or TensorFlow Serving. Close it after use.

    Args:
        target: The server, as `host:port`.
        timeout: Seconds that one call may take.
        tls: Certificates; `None` for a plain connection.

    Raises:
        OSError: A file of `tls` can't be read.
        ServingError: INVALID_ARGUMENT, if what is in it can't be used.
    """

    def __init__(
        self, target: str, *, timeout: float = 30.0, tls: ClientTLS | None = None
    ) -> None:
        self.target = target
        self.timeout = timeout
        # Whoever is configured must be the one that is asked for its state.
        self._channel = open_channel(grpc, target, tls, attempts=1, balanced=False)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )

    def states(self, model: str) -> dict[int, VersionStatus]:
        """Returns the state of each version that the server knows; none of no model.

        Args:
            model: Name of the model.

        Raises:
            ServingError: UNAVAILABLE or DEADLINE_EXCEEDED, if no server answers, or its
                own error.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        try:
            response = self._call(self._models.GetModelStatus, request)
        except ServingError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                return {}
            raise
        return {status.version: status for status in statuses(response)}

    def labelled(self, model: str, label: str) -> int | None:
        """Returns the version that a label leads to, `None` if to none that serves.

        Args:
            model: Name of the model.
            label: Such as `stable`.

        Raises:
            ServingError: UNAVAILABLE or DEADLINE_EXCEEDED, if no server answers, or its
                own error.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=model_pb2.ModelSpec(name=model, version_label=label),
            metadata_field=[SIGNATURE_DEF],
        )
        try:
            response = self._call(self._predictions.GetModelMetadata, request)
        except ServingError as error:
            if error.code in (
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.NOT_FOUND,
            ):
                return None
            raise
        version: int = response.model_spec.version.value
        return version

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the server's whole configuration.

        Args:
            config: All models.

        Raises:
            ServingError: The server refused it, or didn't answer.
        """
        request = model_management_pb2.ReloadConfigRequest(config=config)
        response = self._call(self._models.HandleReloadConfigRequest, request)
        if error := from_status(response.status):
            raise error

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            failure = from_rpc_error(error)
            if failure.code in (
                grpc.StatusCode.UNAVAILABLE,
                # Behind a firewall that drops what is sent to it.
                grpc.StatusCode.DEADLINE_EXCEEDED,
            ):
                failure = failure.at(f"no server answers at {self.target}")
            raise failure from error

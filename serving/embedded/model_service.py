"""The gRPC ModelService: states of versions, and another configuration."""

from __future__ import annotations

import logging
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)

from serving.embedded.calls import answers_errors, time_left
from serving.embedded.handler import RequestHandler
from serving.errors import ServingError, invalid
from serving.model_config import parse_models

_log = logging.getLogger(__name__)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Tells the states of the models' versions, and takes another configuration.

    Args:
        handler: Answers a request.
    """

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    @answers_errors
    def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.ServicerContext,
    ) -> Any:
        """Tells the state of one version, or of all versions of a model."""
        return self._handler.status(request)

    @answers_errors
    def HandleReloadConfigRequest(  # noqa: N802
        self,
        request: model_management_pb2.ReloadConfigRequest,
        context: grpc.ServicerContext,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Replaces the configuration, and answers when new models serve."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest."
                " Only ModelConfigList is currently supported"
            )
        try:
            configs = parse_models(request.config)
            self._handler.models.reload(configs, time_left(context))
        except ServingError as error:
            # In one line: a name of the request's could forge others.
            _log.error("ReloadConfig failed: %s", " ".join(error.message.split()))
            raise
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response

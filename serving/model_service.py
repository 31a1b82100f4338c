"""The gRPC ModelService: GetModelStatus."""

from __future__ import annotations

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from serving.errors import answers_errors, clip
from serving.registry import ModelRegistry


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Tells the states of the models' versions.

    Args:
        models: The models to tell of.
    """

    def __init__(self, models: ModelRegistry) -> None:
        self._models = models

    @answers_errors
    def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Tells the state of one version, or of all versions of a model."""
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._models.statuses(request):
            entry = response.model_version_status.add(
                version=status.version, state=int(status.state)
            )
            if status.error is not None:
                entry.status.error_code = status.error.code.value[0]
                entry.status.error_message = clip(status.error.message)
            else:
                # Healthy is a status of OK, not a status that is missing.
                entry.status.SetInParent()
        return response

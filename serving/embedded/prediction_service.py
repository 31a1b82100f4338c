"""The gRPC PredictionService."""

from __future__ import annotations

from typing import Any

import grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.embedded.admission import Cancellation
from serving.embedded.calls import answers_errors, time_left
from serving.embedded.handler import RequestHandler
from serving.methods import MethodName


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers requests from the loaded models.

    Args:
        handler: Answers a request.
    """

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    @answers_errors
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Runs a signature of a model on the inputs of the request."""
        return self._infer("Predict", request, context)

    @answers_errors
    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Classifies examples."""
        return self._infer("Classify", request, context)

    @answers_errors
    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Gives examples a value."""
        return self._infer("Regress", request, context)

    @answers_errors
    def MultiInference(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        """Runs several signatures on the same examples."""
        return self._infer("MultiInference", request, context)

    @answers_errors
    def GetModelMetadata(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        """Describes the signatures of a model."""
        return self._handler.metadata(request)

    def _infer(
        self, method: MethodName, request: Any, context: grpc.ServicerContext
    ) -> Any:
        cancellation = Cancellation()
        # False: the call has ended before it began.
        if not context.add_callback(cancellation.set):
            cancellation.set()
        with self._handler.counting(method, request, "GRPC"):
            return self._handler.infer(
                method, request, time_left(context), cancellation=cancellation
            )

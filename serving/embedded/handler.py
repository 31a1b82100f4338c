"""What gRPC and REST have in common: a request goes to a model and is counted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.deadlines import Deadline
from serving.embedded.admission import Cancellation
from serving.embedded.errors import as_serving_error, clip
from serving.embedded.metrics import Metrics
from serving.embedded.registry import ModelRegistry
from serving.embedded.request_log import RequestLog
from serving.embedded.servable import Servable
from serving.errors import ServingError, invalid
from serving.methods import MethodName
from serving.signatures import SIGNATURE_DEF, signature_map


class RequestHandler:
    """Answers requests from the models of a server.

    Args:
        models: The models.
        metrics: Where requests are counted.
        log: Takes those of which files keep a sample.
    """

    def __init__(
        self, models: ModelRegistry, metrics: Metrics, log: RequestLog
    ) -> None:
        self.models = models
        self.metrics = metrics
        self.log = log

    @contextlib.contextmanager
    def counting(
        self, method: MethodName, request: Any, entrypoint: str
    ) -> Iterator[None]:
        """Counts the context as a request to a model, if the server has that.

        Args:
            method: The method.
            request: The request, or one that names the model.
            entrypoint: `GRPC` or `REST`.

        Raises:
            ServingError: INTERNAL for any other error of the context.
        """
        started = time.perf_counter()
        name, status = self.models.name_of(request), grpc.StatusCode.OK
        try:
            yield
        except ServingError as error:
            status = error.code
            raise
        except Exception as error:
            status = grpc.StatusCode.INTERNAL
            raise as_serving_error(error, method) from error
        finally:
            # Names that clients make up would fill the memory.
            if name:
                seconds = time.perf_counter() - started
                self.metrics.request(name, method, entrypoint, status.name, seconds)

    def infer(
        self,
        method: MethodName,
        request: Any,
        timeout: float | None,
        prepare: Callable[[Servable], None] = lambda servable: None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        """Runs a request on the model that it asks for; call it while `counting`.

        Args:
            method: The method.
            request: The request of that method.
            timeout: Seconds until its deadline, `None` for no limit.
            prepare: Completes the request for the version that will answer it.
            cancellation: Ends its wait for its turn; `None` if nothing can.

        Returns:
            The response of that method.

        Raises:
            ServingError: What is wrong with the request, or with the model.
        """
        deadline, name = Deadline(timeout), self.models.name_of(request)
        with self.models.lease(request, timeout, cancellation) as servable:
            prepare(servable)
            if cancellation is not None:
                cancellation.check()
            running = time.perf_counter()
            response = servable.call(method, request, deadline.left())
        self.metrics.runtime(name, method, time.perf_counter() - running)
        config = self.models.log_config(name)
        self.log.add(config, method, request, response, servable)
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Describes the signatures of a model.

        Raises:
            ServingError: INVALID_ARGUMENT for another field, and as
                `ModelRegistry.look`.
        """
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.models.look(request) as servable:
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
            signatures = signature_map(servable.signatures)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Tells the state of one version, or of all versions of a model.

        Raises:
            ServingError: As `ModelRegistry.statuses`.
        """
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self.models.statuses(request):
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

"""The gRPC port."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from serving.embedded.handler import RequestHandler
from serving.embedded.model_service import ModelService
from serving.embedded.options import ServerOptions
from serving.embedded.ports import address
from serving.embedded.prediction_service import PredictionService
from serving.errors import invalid
from serving.tls import TLS


class GrpcServer:
    """Serves TensorFlow Serving's gRPC services.

    Args:
        handler: Answers a request.
        options: Address, port, socket and limits.
        tls: Keys and certificates, `None` for plain connections.

    Raises:
        ServingError: The arguments of the channel are illegal.

    Attributes:
        port: The port, once it is open; 0 for none.
    """

    def __init__(
        self, handler: RequestHandler, options: ServerOptions, tls: TLS | None
    ) -> None:
        self.port = 0
        self._options = options
        self._tls = tls
        self._health = _Health()
        # Besides the whole server, the services that tensorflow_model_server names.
        for service in ("ModelService", "PredictionService"):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        settings = {
            # Two servers that share a port would each get some of the requests.
            "grpc.so_reuseport": 0,
            "grpc.max_send_message_length": -1,
            "grpc.max_receive_message_length": options.max_message_bytes,
            **parse_channel_arguments(options.grpc_channel_arguments),
        }
        # As many threads as requests, so that none waits where no deadline is looked
        # at. They are started as they are needed.
        self._server = grpc.server(
            futures.ThreadPoolExecutor(
                options.max_concurrent_requests, thread_name_prefix="grpc"
            ),
            options=tuple(settings.items()),
            maximum_concurrent_rpcs=options.max_concurrent_requests,
            interceptors=(_Parser(),),
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(handler), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(handler), self._server
        )
        if options.enable_grpc_healthcheck_service:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def start(self) -> None:
        """Opens the port, and the socket, if there are to be any.

        Raises:
            OSError: One of them can't be opened.
        """
        if self._options.port:
            port = max(self._options.port, 0)
            self.port = self._open(address(self._options.host, port))
        if self._options.grpc_socket_path:
            self._open(f"unix:{self._options.grpc_socket_path}")
        self._server.start()

    def stop(self, grace: float | None) -> threading.Event:
        """Takes no more requests and lets those in flight end.

        Args:
            grace: Seconds until they are cancelled; `None` cancels at once.

        Returns:
            What is set once they have ended.
        """
        self._health.enter_graceful_shutdown()
        ended: threading.Event = self._server.stop(grace)
        self._health.end_watches()
        return ended

    def _open(self, where: str) -> int:
        try:
            if self._tls is None:
                return int(self._server.add_insecure_port(where))
            credentials = self._tls.grpc_credentials()
            return int(self._server.add_secure_port(where, credentials))
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, f"can't open {where}: {error}") from error


class _Health(health.HealthServicer):
    """Ends its streams with the server, which clients otherwise keep for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[Callable[[Any], None]] = set()

    def Watch(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Callable[[Any], None],
    ) -> None:
        self._watches.add(send_response_callback)
        context.add_callback(lambda: self._watches.discard(send_response_callback))
        super().Watch(request, context, send_response_callback)

    def end_watches(self) -> None:
        """Ends each stream once it has told what it has to tell."""
        for send in tuple(self._watches):
            send(None)


class _Parser(grpc.ServerInterceptor):
    """Parses the requests in place of gRPC, which never frees one that it can't."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Returns a handler that takes the request as bytes."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler

        def answer(content: bytes, context: grpc.ServicerContext) -> Any:
            try:
                request = handler.request_deserializer(content)
            except DecodeError:
                # The code that gRPC has for it, in C++ too.
                context.abort(
                    grpc.StatusCode.INTERNAL, "the request can't be parsed as a message"
                )
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )


def check_socket(path: str) -> None:
    """Finds out whether a UNIX socket can be opened.

    gRPC would take it from the server that has it. One that a server left behind is
    free.

    Args:
        path: Path of the socket.

    Raises:
        OSError: A server listens on it, or it isn't ours to open.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        # One with a long queue is as good as an answer.
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code not in (errno.ENOENT, errno.ECONNREFUSED):
        taken = code in (0, errno.EAGAIN)
        problem = "a server listens there" if taken else os.strerror(code)
        raise OSError(
            errno.EADDRINUSE if taken else code,
            f"can't open the socket {path}: {problem}; choose another",
        )


def parse_channel_arguments(text: str) -> dict[str, int | str]:
    """Reads `--grpc_channel_arguments`.

    Args:
        text: Comma-separated `name=value`, such as `grpc.max_connection_age_ms=2000`.

    Returns:
        The options; a value of digits is a number.

    Raises:
        ServingError: INVALID_ARGUMENT, if a part has no name or no value, or a number
            is too large.
    """
    options: dict[str, int | str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise invalid(
                "grpc_channel_arguments: expected name=value[,name=value ...], found"
                f" {part!r}"
            )
        try:
            number = int(value)
        except ValueError:
            options[name] = value
            continue
        if not -(2**31) <= number < 2**31:
            raise invalid(
                f"grpc_channel_arguments: expected a number of 32 bits for {name},"
                f" found {value}; choose {2**31 - 1} at most"
            )
        options[name] = number
    return options

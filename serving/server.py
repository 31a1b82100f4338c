"""The embedded server: one model behind the gRPC API of TensorFlow Serving."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from concurrent import futures
from types import TracebackType
from typing import Self

import grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from serving.manager import ModelManager
from serving.model_service import ModelService
from serving.prediction_service import PredictionService
from serving.registry import ModelRegistry

# Two servers that share a port would each get some of the requests, unnoticed.
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.so_reuseport", 0),
)


class ModelServer:
    """Serves the newest version of a model.

    A context manager: it starts on entry and stops on exit.

    Args:
        model_name: Name by which requests ask for the model.
        model_base_path: Directory whose integer sub-folders are the versions.
        port: Port of gRPC on every interface; 0 takes any free one.
        poll_wait_seconds: Seconds from one look at the base path to the next; 0 looks
            once.
        max_num_load_retries: Attempts after the first to load a version.
        load_retry_interval_micros: Microseconds from one attempt to the next.
        enable_warmup: Whether to run the model's own warm-up requests.
        channel_arguments: gRPC options as (name, value), over the class's own.
        workers: Most requests that run at a time, default 4 a processor and at least 8.

    Attributes:
        manager: The versions of the model.
    """

    def __init__(
        self,
        model_name: str,
        model_base_path: str | os.PathLike[str],
        *,
        port: int = 0,
        poll_wait_seconds: float = 1.0,
        max_num_load_retries: int = 5,
        load_retry_interval_micros: int = 60_000_000,
        enable_warmup: bool = True,
        channel_arguments: Iterable[tuple[str, int | str]] = (),
        workers: int | None = None,
    ) -> None:
        self.manager = ModelManager(
            model_name,
            os.fspath(model_base_path),
            poll_wait_seconds=poll_wait_seconds,
            max_num_load_retries=max_num_load_retries,
            load_retry_interval_micros=load_retry_interval_micros,
            enable_warmup=enable_warmup,
        )
        self._wanted_port = port
        self._port = 0
        self._workers = workers or max(8, 4 * (os.cpu_count() or 1))
        self._options = tuple({**dict(_OPTIONS), **dict(channel_arguments)}.items())
        self._server: grpc.Server | None = None

    @property
    def port(self) -> int:
        """The port that is open, 0 before `start`."""
        return self._port

    @property
    def target(self) -> str:
        """The address for clients on this machine, as `host:port`."""
        return f"127.0.0.1:{self._port}"

    def start(
        self,
        timeout: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> int:
        """Loads the model, then opens the port.

        Args:
            timeout: Seconds to wait for the first version, `None` for no limit: a base
                path that is missing or empty may yet be filled.
            cancelled: Asked several times a second; true ends the wait.

        Returns:
            The version that serves.

        Raises:
            OSError: The port is in use, or not ours to open.
            ServingError: No version was loaded, as `ModelManager.wait_until_available`
                tells.
        """
        # A load may take minutes, so a port that is taken is found out before.
        _check_port(self._wanted_port)
        self.manager.start()
        try:
            version = self.manager.wait_until_available(timeout, cancelled)
            self._open()
        except BaseException:
            self.manager.stop()
            raise
        return version

    def stop(self, grace: float | None = 30.0) -> None:
        """Takes no more requests, lets those in flight end, and unloads the model.

        Args:
            grace: Seconds until requests in flight are cancelled; `None` cancels at
                once.
        """
        if self._server is not None:
            self._server.stop(grace).wait()
            self._server = None
        self.manager.stop()

    def wait(self, cancelled: Callable[[], bool]) -> None:
        """Blocks until `cancelled`, which is asked several times a second, is true."""
        # A flag and a sleep, because a signal handler must take no lock.
        while not cancelled():
            time.sleep(0.1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _open(self) -> None:
        models = ModelRegistry([self.manager])
        server = grpc.server(
            futures.ThreadPoolExecutor(self._workers, thread_name_prefix="grpc"),
            options=self._options,
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(models), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(models), server
        )
        try:
            self._port = server.add_insecure_port(f"0.0.0.0:{self._wanted_port}")
        except RuntimeError as error:
            raise OSError(f"can't open port {self._wanted_port}: {error}") from error
        server.start()
        self._server = server


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        # As gRPC does, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - a server is to be reached
        except OSError as error:
            raise OSError(
                error.errno,
                f"can't open port {port}: {os.strerror(error.errno or 0)};"
                " choose another, or 0 for any free one",
            ) from error


def parse_channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Reads `--grpc_channel_arguments`.

    Args:
        text: Comma-separated `name=value`, such as `grpc.max_connection_age_ms=2000`.

    Returns:
        The options; a value of digits is a number.

    Raises:
        ValueError: A part has no name or no value.
    """
    options: list[tuple[str, int | str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ValueError(f"expected name=value[,name=value ...], found {part!r}")
        try:
            options.append((name, int(value)))
        except ValueError:
            options.append((name, value))
    return options

"""The embedded server: models behind the gRPC and REST APIs of TensorFlow Serving."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Self

from serving.embedded.config_watcher import ConfigWatcher, read_models
from serving.embedded.grpc_server import GrpcServer, check_socket
from serving.embedded.handler import RequestHandler
from serving.embedded.http_server import HttpServer
from serving.embedded.lifecycle import LoadOptions
from serving.embedded.loading import make_loader
from serving.embedded.metrics import Metrics
from serving.embedded.options import ServerOptions
from serving.embedded.ports import address, check_host, check_port, is_everywhere
from serving.embedded.registry import ModelRegistry
from serving.embedded.request_log import LogFiles, RequestLog
from serving.errors import invalid
from serving.model_config import ModelConfig
from serving.tls import read_tls

#: Seconds that requests in flight may take after a server was told to stop.
GRACE = 30.0

#: Seconds that a server may then take to cancel the others and to unload its models.
LEEWAY = 10.0


class ModelServer:
    """Serves models.

    A context manager: it starts on entry and stops on exit.

    Args:
        model_name: Name by which requests ask for the model.
        model_base_path: Directory whose integer sub-folders are the versions.
        **options: Further settings, those of `ServerOptions`.

    Raises:
        ServingError: A configuration file can't be read, or is illegal; or the server
            would listen nowhere, twice on a port, or on a host that is no address.

    Attributes:
        options: The settings.
        models: The models.
    """

    def __init__(
        self,
        model_name: str = ServerOptions.model_name,
        model_base_path: str | os.PathLike[str] = ServerOptions.model_base_path,
        **options: Any,
    ) -> None:
        self.options = ServerOptions(model_name, model_base_path, **options)
        _check_addresses(self.options)
        self._configs = _models(self.options)
        self.models = ModelRegistry(
            make_loader(self.options),
            LoadOptions(
                self.options.file_system_poll_wait_seconds,
                self.options.max_num_load_retries,
                max(self.options.load_retry_interval_micros, 0),
            ),
            running=self.options.max_running_per_model,
            waiting=self.options.max_waiting_per_model,
            allow_unavailable_labels=(
                self.options.allow_version_labels_for_unavailable_models
            ),
        )
        ssl_config = self.options.ssl_config_file
        tls = read_tls(ssl_config) if ssl_config else None
        metrics = Metrics()
        files = LogFiles(
            self.options.request_log_max_bytes, self.options.request_log_max_seconds
        )
        self._log = RequestLog(metrics, files, self.options.model_tags)
        handler = RequestHandler(self.models, metrics, self._log)
        self._grpc = GrpcServer(handler, self.options, tls)
        self._http: HttpServer | None = None
        if self.options.rest_api_port:
            self._http = HttpServer(handler, self.options, tls)
        self._watcher: ConfigWatcher | None = None

    @property
    def port(self) -> int:
        """The port of gRPC, 0 before `start` and without one."""
        return self._grpc.port

    @property
    def rest_port(self) -> int:
        """The port of REST, 0 before `start` and without REST."""
        return self._http.port if self._http is not None else 0

    @property
    def target(self) -> str:
        """The address of gRPC for clients on this machine, as `host:port`."""
        host = self.options.host
        return address("127.0.0.1" if is_everywhere(host) else host, self.port)

    def start(
        self,
        timeout: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> int:
        """Loads the models, then opens the ports.

        Args:
            timeout: Seconds to wait for the first version, `None` for no limit: a base
                path that is missing or empty may yet be filled.
            cancelled: Asked several times a second; true ends the wait.

        Returns:
            The newest version that serves, of the first model that does.

        Raises:
            OSError: A port or the socket is in use, or not ours to open.
            ServingError: No model was loaded, as `ModelRegistry.start` tells.
        """
        # A load may take minutes, so what is taken is found out before.
        for port in (self.options.port, self.options.rest_api_port):
            check_port(self.options.host, max(port, 0))
        if self.options.grpc_socket_path:
            check_socket(self.options.grpc_socket_path)
        try:
            self._log.start()
            self.models.start(self._configs, timeout, cancelled)
            self._grpc.start()
            if self._http is not None:
                self._http.start()
        except BaseException:
            self.stop(0)
            raise
        if (
            self.options.model_config_file
            and self.options.model_config_file_poll_wait_seconds
        ):
            self._watcher = ConfigWatcher(
                self.options.model_config_file,
                self.models,
                self._configs,
                self.options.model_config_file_poll_wait_seconds,
            )
            self._watcher.start()
        return self.models.newest_available()

    def stop(self, grace: float | None = GRACE) -> None:
        """Takes no more requests, lets those in flight end, and unloads the models.

        Args:
            grace: Seconds until requests in flight are cancelled, with whatever their
                models do for them; `None` cancels at once.
        """
        if self._watcher is not None:
            self._watcher.stop()
        # Both ports at a time, for the grace is that of the whole server.
        grpc_ended = self._grpc.stop(grace)
        if self._http is not None:
            self._http.stop(grace)
        grpc_ended.wait()
        self._log.stop()
        self.models.stop()

    def wait(self, cancelled: Callable[[], bool]) -> None:
        """Blocks until `cancelled`, which is asked several times a second, is true."""
        # A flag and a sleep, because a signal handler must take no lock.
        while not cancelled():
            time.sleep(0.1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _check_addresses(options: ServerOptions) -> None:
    check_host(options.host)
    port, rest_port = options.port, options.rest_api_port
    if not (port or rest_port or options.grpc_socket_path):
        raise invalid(
            "expected somewhere to listen, found neither port nor grpc_socket_path nor"
            " rest_api_port; set one of them"
        )
    if port == rest_port > 0:
        raise invalid(
            f"rest_api_port can't be {rest_port}, the port of gRPC; choose another, or"
            " -1 for any free one"
        )


def _models(options: ServerOptions) -> dict[str, ModelConfig]:
    if options.model_config_file:
        return read_models(options.model_config_file)
    base_path = os.fspath(options.model_base_path)
    if not base_path:
        raise invalid(
            "Both server_options.model_base_path and"
            " server_options.model_config_file are empty!"
        )
    return {options.model_name: ModelConfig(options.model_name, base_path)}

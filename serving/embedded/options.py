"""The settings of the embedded server."""

# Light imports only: the command line has its defaults from here.

from __future__ import annotations

import dataclasses
import os


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Settings; those that tensorflow_model_server has too bear its names.

    Attributes:
        model_name: Name by which requests ask for the model.
        model_base_path: Directory whose integer sub-folders are the versions.
        model_config_file: Several models, with policies and labels, in place of one.
        host: IP address that both ports are on; 0.0.0.0 and :: are every interface.
        port: Port of gRPC, 0 for none, -1 for any free one.
        rest_api_port: Port of REST, 0 for none, -1 for any free one.
        grpc_socket_path: A UNIX socket for gRPC besides the port, empty for none.
        model_config_file_poll_wait_seconds: Seconds from one look at that file to the
            next; 0 looks once.
        file_system_poll_wait_seconds: Seconds from one look for new versions to the
            next; 0 looks once.
        max_num_load_retries: Attempts after the first to load a version.
        load_retry_interval_micros: Microseconds from one attempt to the next; a
            negative number doesn't wait.
        enable_model_warmup: Whether to run the model's own warm-up requests.
        saved_model_tags: Tags of the meta graph to load, with commas between.
        allow_version_labels_for_unavailable_models: Whether a new label may point to a
            version that is not available yet.
        enable_batching: Whether requests of several callers are put together.
        batching_parameters_file: How they are; needs `enable_batching`.
        monitoring_config_file: Whether, and at what path, metrics are shown.
        ssl_config_file: Keys and certificates of both ports.
        rest_api_timeout_in_ms: Milliseconds that a REST request may take.
        enable_grpc_healthcheck_service: Whether gRPC has the health service.
        grpc_channel_arguments: gRPC options, over the server's own: `name=value` with
            commas between.
        tensorflow_session_parallelism: Threads in each of TensorFlow's two pools, 0 for
            what suits the machine; ignored with one of the following.
        tensorflow_intra_op_parallelism: Threads that share the work of an operation.
        tensorflow_inter_op_parallelism: Operations that run at a time.
        isolate_models: Whether each version runs in a process of its own.
        max_message_bytes: Longest request in bytes.
        max_concurrent_requests: Most requests in the server, on each port.
        max_running_per_model: Most requests to a model that run at a time.
        max_waiting_per_model: Most requests to a model that wait for their turn.
        request_log_max_bytes: Size at which a file of the request log is completed.
        request_log_max_seconds: Age at which it is.
    """

    model_name: str = "default"
    model_base_path: str | os.PathLike[str] = ""
    model_config_file: str = ""
    host: str = "0.0.0.0"  # noqa: S104 - as in TensorFlow Serving
    port: int = 8500
    rest_api_port: int = 0
    grpc_socket_path: str = ""
    model_config_file_poll_wait_seconds: float = 0.0
    file_system_poll_wait_seconds: float = 1.0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_model_warmup: bool = True
    saved_model_tags: str = "serve"
    allow_version_labels_for_unavailable_models: bool = False
    enable_batching: bool = False
    batching_parameters_file: str = ""
    monitoring_config_file: str = ""
    ssl_config_file: str = ""
    rest_api_timeout_in_ms: int = 30_000
    enable_grpc_healthcheck_service: bool = False
    grpc_channel_arguments: str = ""
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    isolate_models: bool = True
    max_message_bytes: int = 2**31 - 1
    max_concurrent_requests: int = 256
    max_running_per_model: int = 32
    max_waiting_per_model: int = 64
    request_log_max_bytes: int = 64 * 2**20
    request_log_max_seconds: float = 600.0

    @property
    def model_tags(self) -> tuple[str, ...]:
        """Tags of the meta graph to load."""
        return tuple(self.saved_model_tags.split(","))

"""The command that serves models, with the flag names of tensorflow_model_server."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from serving import launcher
from serving.commands.terminal import notices_left_out
from serving.embedded import forking
from serving.embedded.options import ServerOptions

_Command = Callable[..., Any]

# Flags that the embedded server alone has.
_OWN = (
    "host",
    "isolate_models",
    "max_message_bytes",
    "max_concurrent_requests",
    "max_running_per_model",
    "max_waiting_per_model",
    "request_log_max_bytes",
    "request_log_max_seconds",
)

# Flags of tensorflow_model_server that change no answer, and that the embedded server
# has no use for.
_IGNORED = (
    "rest_api_num_threads",
    "grpc_max_threads",
    "num_load_threads",
    "num_unload_threads",
)


def _flag(name: str, text: str, **settings: Any) -> _Command:
    if name in _OWN:
        text = f"Embedded server: {text}"
    default = getattr(ServerOptions, name)
    settings.setdefault("type", type(default))
    if settings["type"] is bool:
        # As in TensorFlow: --flag is --flag=true.
        settings |= {"is_flag": False, "flag_value": "true"}
    return click.option(
        f"--{name}", default=default, show_default=True, help=text, **settings
    )


_PORT = click.IntRange(-1, 65535)
_COUNT = click.IntRange(min=0)
_SECONDS = click.FloatRange(min=0)
_FLAGS = [
    _flag("host", "address to listen on, such as 127.0.0.1 for this machine alone."),
    _flag("port", "Port of gRPC, 0 for none, -1 for any free one.", type=_PORT),
    _flag(
        "rest_api_port",
        "Port of REST and metrics, 0 for none, -1 for any free one.",
        type=_PORT,
    ),
    _flag("grpc_socket_path", "A UNIX socket for gRPC besides the port."),
    _flag("model_name", "Name of the model."),
    _flag("model_base_path", "Directory whose integer sub-folders are the versions."),
    _flag("model_config_file", "Several models: a ModelServerConfig as text."),
    _flag(
        "model_config_file_poll_wait_seconds",
        "Seconds from one look at that file to the next; 0 looks once.",
        type=_SECONDS,
    ),
    _flag(
        "file_system_poll_wait_seconds",
        "Seconds from one look for new versions to the next; 0 looks once.",
        type=_SECONDS,
    ),
    _flag("enable_batching", "Run the requests of several callers together."),
    _flag(
        "batching_parameters_file",
        "How: BatchingParameters as text.",
        metavar="FILE",
    ),
    _flag("monitoring_config_file", "A MonitoringConfig as text."),
    _flag("saved_model_tags", "Tags of the meta graph, with commas between."),
    _flag(
        "enable_model_warmup",
        "Run the requests in the model's assets.extra before it serves.",
    ),
    _flag(
        "allow_version_labels_for_unavailable_models",
        "Take a new label for a version that doesn't serve yet.",
    ),
    _flag(
        "rest_api_timeout_in_ms",
        "Milliseconds that a REST request may take.",
        type=_COUNT,
    ),
    _flag(
        "max_num_load_retries",
        "Attempts after the first to load a version.",
        type=_COUNT,
    ),
    _flag(
        "load_retry_interval_micros",
        "Microseconds from one attempt to load a version to the next; -1 doesn't wait.",
    ),
    _flag("ssl_config_file", "TLS: an SSLConfig as text."),
    _flag("enable_grpc_healthcheck_service", "Answer gRPC's standard health check."),
    _flag(
        "grpc_channel_arguments",
        "More gRPC options, such as grpc.max_connection_age_ms=2000.",
        metavar="NAME=VALUE,...",
    ),
    _flag(
        "tensorflow_session_parallelism",
        "Threads in each of TensorFlow's two pools, 0 for what suits the machine.",
        type=_COUNT,
    ),
    _flag(
        "tensorflow_intra_op_parallelism",
        "Threads that share the work of an operation.",
        type=_COUNT,
    ),
    _flag(
        "tensorflow_inter_op_parallelism",
        "Operations that run at a time.",
        type=_COUNT,
    ),
    _flag("isolate_models", "run each version in a process of its own."),
    _flag("max_message_bytes", "longest request.", type=click.IntRange(1, 2**31 - 1)),
    _flag(
        "max_concurrent_requests",
        "most requests on a port.",
        type=click.IntRange(min=1),
    ),
    _flag(
        "max_running_per_model",
        "most requests to a model that run at a time.",
        type=click.IntRange(1, 100),
    ),
    _flag("max_waiting_per_model", "most requests to a model that wait.", type=_COUNT),
    _flag(
        "request_log_max_bytes",
        "size at which a file of a logging_config is completed.",
        type=click.IntRange(min=1),
    ),
    _flag(
        "request_log_max_seconds",
        "age at which it is.",
        type=click.FloatRange(min=0, min_open=True),
    ),
    *(
        click.option(f"--{name}", type=int, help="Ignored by the embedded server.")
        for name in _IGNORED
    ),
]


def _with_flags(command: _Command) -> _Command:
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.option(
    "--backend",
    type=click.Choice(launcher.BACKENDS),
    default="auto",
    show_default=True,
    help="The server; auto is tensorflow_model_server if it is there, else embedded.",
)
@click.option(
    "--docker_image",
    default=launcher.IMAGE,
    show_default=True,
    help="Image for --backend=docker.",
)
# For `ServerProcess`, which holds the other end of stdin.
@click.option("--stop_at_eof", is_flag=True, hidden=True)
@_with_flags
@click.argument("more", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def serve(
    context: click.Context,
    /,
    backend: str,
    docker_image: str,
    stop_at_eof: bool,
    more: tuple[str, ...],
    **flags: Any,
) -> None:
    """Serve SavedModels over TensorFlow Serving's gRPC and REST APIs.

    The flags are those of tensorflow_model_server, which runs if it is on the PATH;
    flags of it that aren't listed here are passed on. SIGTERM ends it at once, with its
    requests in flight.

    Otherwise the embedded server runs. Its ports open once the models are loaded; then
    one line says so. SIGTERM and SIGINT let its requests in flight end, and cancel them
    after 30 s. It waits for a base path or a version that isn't there, and says so. It
    exits with 1 if what is there can't be loaded, or something that can't be cancelled
    still runs 10 s later, and 2 if the command line, a configuration file or a port is
    at fault.
    """
    try:
        backend = launcher.choose(backend)
    except launcher.LaunchError as error:
        raise click.UsageError(str(error)) from error
    if backend == "embedded" and more:
        raise click.UsageError(f"The embedded server has no {more[0]}.")
    # What is passed on may hold it, or be --version, which needs none.
    if not (more or flags["model_base_path"] or flags["model_config_file"]):
        raise click.UsageError("Missing option '--model_base_path'.")
    if backend == "embedded":
        ignored = [f"--{name}" for name in _IGNORED if flags.pop(name) is not None]
        _serve_embedded(flags, ignored, stop_at_eof)
        return
    given = {
        name: value
        for name, value in flags.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if own := [name for name in _OWN if name in given]:
        raise click.UsageError(f"--{own[0]} is for --backend=embedded.")
    try:
        command = launcher.command(backend, given, more, docker_image)
    except launcher.LaunchError as error:
        raise click.UsageError(str(error)) from error
    click.echo(shlex.join(command), err=True)
    # In place of this process, so that signals and the exit code are the server's own.
    os.execvp(command[0], command)  # noqa: S606


def _serve_embedded(
    flags: dict[str, Any], ignored: list[str], stop_at_eof: bool
) -> None:
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    # Before the imports, which take seconds in which a launcher may change its mind.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if stop_at_eof:
        threading.Thread(target=_stop_at_eof, daemon=True).start()

    _start_logging(ignored)

    # Each version that is loaded takes some 30 files, and each connection one. Where
    # there is no limit to ask for, some systems refuse to give that.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if flags["isolate_models"]:
        # What models are forked from imports TensorFlow while this process does.
        forking.context()

    with notices_left_out():
        from serving.embedded.server import GRACE, LEEWAY, ModelServer
        from serving.errors import ServingError

    try:
        server = ModelServer(**flags)
    except ServingError as error:
        _fail(error.message, exit_code=2)
    # What the imports made stays for good; without it, the collection of an unloaded
    # version's graph halts requests for milliseconds instead of a fifth of a second.
    gc.freeze()
    try:
        version = server.start(cancelled=lambda: stopping)
    except OSError as error:
        _fail(error.strerror or str(error), exit_code=2)
    except ServingError as error:
        if stopping:
            return
        _fail(str(error), exit_code=1)
    models = f"{', '.join(server.models.names)} version {version}"
    grpc = f" on port {server.port}" if server.port else ""
    rest = f", REST on port {server.rest_port}" if server.rest_port else ""
    try:
        click.echo(f"Serving {models if version else 'no model'}{grpc}{rest}")
    except OSError as error:
        # A full disk behind stdout is no reason not to serve.
        logging.getLogger(__name__).error("can't write to stdout: %s", error.strerror)
    server.wait(lambda: stopping)
    logging.getLogger(__name__).info("stopping: requests in flight may end")
    _end_within(GRACE + LEEWAY)
    server.stop(GRACE)


def _start_logging(ignored: list[str]) -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if ignored:
        logging.getLogger(__name__).warning(
            "the embedded server ignores %s", ", ".join(ignored)
        )
    # The runtime's notices would bury the server's own few lines; TensorFlow's Python
    # side gives notice of deprecation for the loader that a server has to use.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _stop_at_eof() -> None:
    # Not from sys.stdin, whose lock must be free when the process ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _end_within(seconds: float) -> None:
    """Ends the process after that time, if it hasn't ended by itself."""

    def end() -> None:
        logging.getLogger(__name__).error(
            "what runs can't be cancelled, a load or an operation; ending without it"
        )
        os._exit(1)

    # Not joined at the exit, which itself waits for the threads that run requests.
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _fail(message: str, *, exit_code: int) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(exit_code)

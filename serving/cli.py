"""The command that serves a model, with the flag names of tensorflow_model_server."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8500,
    show_default=True,
    help="Port of gRPC; 0 takes any free one.",
)
@click.option(
    "--model_name", default="default", show_default=True, help="Name of the model."
)
@click.option(
    "--model_base_path",
    required=True,
    help="Directory whose integer sub-folders are the versions.",
)
@click.option(
    "--file_system_poll_wait_seconds",
    type=click.FloatRange(min=0),
    default=1,
    show_default=True,
    help="Seconds from one look for new versions to the next; 0 looks once.",
)
@click.option(
    "--enable_model_warmup",
    type=bool,
    default=True,
    show_default=True,
    help="Run the requests in the model's assets.extra before it serves.",
)
@click.option(
    "--max_num_load_retries",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Attempts after the first to load a version.",
)
@click.option(
    "--load_retry_interval_micros",
    type=click.IntRange(min=0),
    default=60_000_000,
    show_default=True,
    help="Microseconds from one attempt to load a version to the next.",
)
@click.option(
    "--grpc_channel_arguments",
    default="",
    metavar="NAME=VALUE,...",
    help="More gRPC options, such as grpc.max_connection_age_ms=2000.",
)
def serve(
    port: int,
    model_name: str,
    model_base_path: str,
    file_system_poll_wait_seconds: float,
    enable_model_warmup: bool,
    max_num_load_retries: int,
    load_retry_interval_micros: int,
    grpc_channel_arguments: str,
) -> None:
    """Serve the newest version of a SavedModel over TensorFlow Serving's gRPC API.

    The port opens once the first version is loaded; then one line says so. SIGTERM and
    SIGINT let the requests in flight end. Exits with 1 if the model can't be loaded and
    2 if the command line or the port is at fault.
    """
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    # Before the imports, which take seconds in which a launcher may change its mind.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)

    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # The runtime's notices would bury the server's own few lines; TensorFlow's Python
    # side gives notice of deprecation for the loader that a server has to use.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

    from serving.errors import ServingError
    from serving.server import ModelServer, parse_channel_arguments

    try:
        channel_arguments = parse_channel_arguments(grpc_channel_arguments)
    except ValueError as error:
        raise click.BadParameter(
            str(error), param_hint="--grpc_channel_arguments"
        ) from error
    server = ModelServer(
        model_name,
        model_base_path,
        port=port,
        poll_wait_seconds=file_system_poll_wait_seconds,
        enable_warmup=enable_model_warmup,
        max_num_load_retries=max_num_load_retries,
        load_retry_interval_micros=load_retry_interval_micros,
        channel_arguments=channel_arguments,
    )
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
    click.echo(f"Serving {model_name} version {version} on port {server.port}")
    server.wait(lambda: stopping)
    logging.getLogger(__name__).info("stopping: requests in flight may end")
    server.stop()


def _fail(message: str, *, exit_code: int) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(exit_code)

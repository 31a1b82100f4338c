"""Which server runs: tensorflow_model_server, the same in Docker, or the embedded."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

BINARY = "tensorflow_model_server"
BACKENDS = ("auto", "embedded", BINARY, "docker")
IMAGE = "tensorflow/serving:2.19.1"
"""As in the Compose file and the manifests; not each TensorFlow has one of its own."""

_FILES = (
    "model_config_file",
    "batching_parameters_file",
    "monitoring_config_file",
    "ssl_config_file",
)


class LaunchError(Exception):
    """The server that was asked for can't be run here."""


def choose(backend: str) -> str:
    """Returns the server to run.

    Args:
        backend: One of `BACKENDS`. `auto` is tensorflow_model_server where that is on
            the PATH, and else the embedded server.

    Raises:
        LaunchError: The server isn't there.
    """
    if backend == "auto":
        return BINARY if shutil.which(BINARY) else "embedded"
    program = {BINARY: BINARY, "docker": "docker"}.get(backend)
    if program and not shutil.which(program):
        raise LaunchError(
            f"{program} is not on the PATH; install it, or use --backend=embedded"
        )
    return backend


def command(
    backend: str,
    flags: Mapping[str, object],
    more: Iterable[str],
    image: str,
) -> list[str]:
    """Returns the command line of a server that isn't the embedded one.

    Args:
        backend: `tensorflow_model_server` or `docker`.
        flags: Its flags by name. Paths of this machine are made absolute, as the server
            wants them.
        more: Further arguments, passed on as they are.
        image: Docker image, for `docker`.

    Raises:
        LaunchError: The server doesn't take a flag's value, or the file of models
            can't be read.
    """
    for name in ("port", "rest_api_port"):
        if flags.get(name) == -1:
            raise LaunchError(
                f"--{name}: expected a port, found -1, which only the embedded server"
                " takes for any free one; choose one, or use --backend=embedded"
            )
    texts = {name: _flag(name, value) for name, value in flags.items()}
    if backend == "docker":
        # What a link points to would be out of the container's sight.
        files = {name: texts[name] for name in _FILES if texts.get(name)}
        texts |= {name: str(Path(file).resolve()) for name, file in files.items()}
    arguments = [*(f"--{name}={value}" for name, value in texts.items()), *more]
    if backend == BINARY:
        return [BINARY, *arguments]
    return [
        "docker",
        "run",
        "--rm",
        "--init",
        *_ports(texts),
        # Unlike --volume, it makes no folder in the place of one that isn't there.
        *(f"--mount={_mount(path)}" for path in _folders(texts)),
        f"--entrypoint={BINARY}",
        image,
        *arguments,
    ]


def _flag(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # Seconds are whole numbers there, and 1.0 is none.
        if not value.is_integer():
            raise LaunchError(
                f"--{name}: expected whole seconds, found {value:g}, which only the"
                " embedded server takes; round it, or use --backend=embedded"
            )
        return str(int(value))
    text = str(value)
    is_path = name in _FILES or name == "model_base_path"
    return (
        str(Path(text).absolute()) if is_path and text and "://" not in text else text
    )


def _ports(flags: Mapping[str, str]) -> list[str]:
    ports = [flags.get("port", "8500"), flags.get("rest_api_port", "0")]
    return [f"--publish={port}:{port}" for port in ports if port != "0"]


def _mount(path: str) -> str:
    # Docker reads it as CSV, where a comma in a path would begin another setting.
    text = io.StringIO()
    csv.writer(text).writerow(["type=bind", f"src={path}", f"dst={path}", "readonly"])
    return text.getvalue().removesuffix("\r\n")


def _folders(flags: Mapping[str, str]) -> list[str]:
    """Returns what the container must see, under the paths that it has here."""
    # A file that is mounted by itself stays the old one when another takes its place.
    paths = [str(Path(flags[name]).parent) for name in _FILES if flags.get(name)]
    base_path = flags.get("model_base_path", "")
    if base_path.startswith("/"):
        paths.append(base_path)
    if models := flags.get("model_config_file"):
        paths.extend(_base_paths(models))
    return list(dict.fromkeys(paths))


def _base_paths(models: str) -> list[str]:
    """Returns the absolute base paths in a file of models."""
    # Not above: gRPC, which comes with it, takes longer than all of --help.
    from tensorflow_serving.config import model_server_config_pb2

    from serving.config_files import read_config
    from serving.errors import ServingError

    try:
        config = read_config(models, model_server_config_pb2.ModelServerConfig())
    except ServingError as error:
        raise LaunchError(
            f"--model_config_file: {error.message}; correct the file, or the path"
        ) from error
    paths = (model.base_path for model in config.model_config_list.config)
    return [path for path in paths if path.startswith("/")]

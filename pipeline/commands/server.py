"""Options of the commands that change what a server serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.paths import RunPaths
from serving.commands.connection import FILE, connection_options

_config_option = click.option(
    "--config",
    type=FILE,
    help="The server's --model_config_file. Default: models.config in the data"
    " set's folder of runs.",
)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--config`, and the options of a connection."""
    return connection_options(_config_option(command))


def config_file(config: Path | None, paths: RunPaths, model: str) -> Path:
    """The server's model configuration file.

    Args:
        config: Where it was said to be.
        paths: Where the data set's runs keep their files.
        model: Name of the model.

    Raises:
        FileNotFoundError: It isn't there; the message says what to put into it.
    """
    path = config or paths.models_config
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: expected the model configuration file of the server, found none."
            " A server that has labels is started with --model_config_file; write, for"
            " example:\n"
            f'model_config_list {{\n  config {{\n    name: "{model}"\n'
            f'    base_path: "{paths.serving}"\n'
            '    model_platform: "tensorflow"\n  }\n}'
        )
    return path

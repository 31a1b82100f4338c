"""Options of the commands that speak to a running server."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.paths import RunPaths

if TYPE_CHECKING:
    from serving.client import ClientTLS

_FILE = click.Path(dir_okay=False, path_type=Path)
_OPTIONS = [
    click.option(
        "--server", default="127.0.0.1:8500", show_default=True, metavar="HOST:PORT"
    ),
    click.option(
        "--config",
        type=_FILE,
        help="The server's --model_config_file. Default: models.config in the data"
        " set's folder of runs.",
    ),
    click.option("--tls", is_flag=True, help="Connect by TLS; certificates imply it."),
    click.option(
        "--root_certificate",
        type=_FILE,
        help="PEM to trust. Default: public authorities.",
    ),
    click.option(
        "--certificate",
        type=_FILE,
        help="The client's own, for a server that asks for one.",
    ),
    click.option("--key", type=_FILE, help="Private key of --certificate."),
]


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--server`, `--config` and those of TLS."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def client_tls(
    tls: bool,
    root_certificate: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> ClientTLS | None:
    """What the options of TLS say; None for a plain connection."""
    from serving.client import ClientTLS

    if tls or any((root_certificate, certificate, key)):
        return ClientTLS(root_certificate, certificate, key)
    return None


def config_file(config: Path | None, paths: RunPaths, model: str) -> Path:
    """The server's model configuration file.

    Args:
        config: Where it was said to be.
        paths: Where the data set's runs keep their files.
        model: Name of the model.

    Raises:
        FileNotFoundError: It isn't there; the message says what to put into it.
    """
    path = config or paths.models
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

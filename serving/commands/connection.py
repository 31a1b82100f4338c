"""Options of the commands that speak to a running server."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serving.commands.options import FILE

if TYPE_CHECKING:
    from serving.client import ClientTLS

_OPTIONS = [
    click.option(
        "--server", default="127.0.0.1:8500", show_default=True, metavar="HOST:PORT"
    ),
    click.option("--tls", is_flag=True, help="Connect by TLS; certificates imply it."),
    click.option(
        "--root_certificate",
        type=FILE,
        help="PEM to trust. Default: public authorities.",
    ),
    click.option(
        "--certificate",
        type=FILE,
        help="The client's own, for a server that asks for one.",
    ),
    click.option("--key", type=FILE, help="Private key of --certificate."),
]


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--server`, and the options of TLS, which `client_tls` takes."""
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

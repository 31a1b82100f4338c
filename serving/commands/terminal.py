"""What a person sees of a command: its own lines, and one line for an error."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

_FILE_WIDTH = 120
"""Columns where the output isn't a terminal, which would be taken to have 80."""


def open_console() -> Console:
    """Returns the console for messages to the person."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    return console


@contextlib.contextmanager
def notices_left_out() -> Iterator[None]:
    """Keeps what TensorFlow's C++ writes while it loads off the terminal.

    It asks no environment variable then, and writes to the file descriptor itself.
    """
    saved = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def errors_told() -> Iterator[None]:
    """Ends the command with a message instead of a traceback."""
    from serving.errors import ServingError

    try:
        yield
    except Exception as error:
        # A bare KeyError, for one, says nothing but the key.
        known = isinstance(error, ValueError | RuntimeError | OSError | ServingError)
        kind = "" if known else f"{type(error).__name__}: "
        raise click.ClickException(f"{kind}{error}") from error

"""What a person sees of a command: its own lines, and one line for an error."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

_log = logging.getLogger(__name__)

_FILE_WIDTH = 120
"""Columns where the output isn't a terminal, which would be taken to have 80."""


_CONTROLS = dict.fromkeys(
    {*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")},
    "\N{REPLACEMENT CHARACTER}",
)


def printable(text: str) -> str:
    """Returns a text without control characters, which a terminal would obey.

    Others take their places. Ends of lines and tabs are kept.
    """
    return text.translate(_CONTROLS)


def open_console() -> Console:
    """Returns the console for messages to the person, on stdout.

    It shows text as it is, but for control characters, which a terminal would obey.
    """
    from serving.commands.console import PlainConsole

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A country that the locale can't write must not end a run.
        sys.stdout.reconfigure(errors="backslashreplace")
    console = PlainConsole(sys.stdout)
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
def stopped_in_order() -> Iterator[None]:
    """Has SIGTERM end the command as Ctrl+C does, not before it has tidied up.

    By default, the first process of a container ignores it.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def errors_told(log_file: Path | None = None) -> Iterator[None]:
    """Ends the command with a message instead of a traceback, which goes to the log.

    The error's notes (`add_note`) follow it, a line each.

    Args:
        log_file: The log; None if there is none, and the traceback is dropped.

    Raises:
        ClickException: Whatever else was raised, but for a module that isn't there:
            what to install depends on the command.
    """
    try:
        yield
    except click.ClickException:
        raise  # has its message
    except Exception as error:
        if log_file:
            # Without a handler, Python would print the traceback to stderr.
            _log.exception("the command failed")
        if isinstance(error, ModuleNotFoundError):
            raise
        from serving.errors import ServingError

        # A bare KeyError, for one, says nothing but the key.
        known = isinstance(error, ValueError | RuntimeError | OSError) or (
            type(error) is LookupError
        )
        kind = "" if known else f"{type(error).__name__}: "
        text = error.message if isinstance(error, ServingError) else f"{kind}{error}"
        log = [f"log: {log_file}"] if log_file else []
        lines = [text, *getattr(error, "__notes__", ()), *log]
        raise click.ClickException(printable("\n".join(lines))) from error

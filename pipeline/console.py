"""What a person sees of a run: short lines on the terminal, all else in a log file."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from absl import logging as absl_logging
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from rich.text import Text

from serving.commands.terminal import open_console

_COMPONENT = re.compile(r"Component (?P<name>\S+) is (?P<state>running|finished)\.")
_CACHED = re.compile(r"A cached execution \d+ is used")


class ComponentProgress(logging.Handler):
    """Tells when a component starts and ends, from what TFX's local runner logs.

    On a terminal, a clock runs while a component does.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.cached = False
        self.started = 0.0
        self.clock = Progress(
            SpinnerColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,  # would leave empty lines in a file
        )

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if _CACHED.search(message):
            self.cached = True
        found = _COMPONENT.search(message)
        if found is None:
            return
        if found["state"] == "running":
            self.cached, self.started = False, time.monotonic()
            self.console.print(Text(found["name"], "bold"))
            self.clock.add_task("")
            self.clock.start()
        else:
            self.stop_clock()
            took = f"{time.monotonic() - self.started:.1f} s"
            self.console.print(f"  {'from the cache' if self.cached else took}")

    def stop_clock(self) -> None:
        """Takes the clock off the terminal."""
        self.clock.stop()
        for task in self.clock.task_ids:
            self.clock.remove_task(task)


class ConsoleLines(logging.Handler):
    """Prints log records as indented lines, in red from errors on."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        style = "red" if record.levelno >= logging.ERROR else ""
        self.console.print(Text(f"  {record.getMessage()}", style))


@contextlib.contextmanager
def quiet_run(log_file: Path) -> Iterator[Console]:
    """Sends what libraries write to stderr to a file, and `midpg`'s lines to stdout.

    TensorFlow and Beam write to the file descriptor itself, from C++ and from worker
    threads, so it is the descriptor that is redirected.

    Args:
        log_file: Appended to; its folder is made.

    Yields:
        The console for messages to the person.

    Raises:
        OSError: If the file can't be written.
    """
    log = _open_log(log_file)
    console = open_console()
    lines = ConsoleLines(console)
    ours, root = logging.getLogger("midpg"), logging.getLogger()
    progress = ComponentProgress(console)
    saved = os.dup(sys.stderr.fileno())
    with log:
        everything = logging.StreamHandler(log)
        everything.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
        )
        root.setLevel(logging.INFO)
        # TensorFlow sets absl's level back to this one whenever it saves a model.
        absl_logging.set_verbosity(absl_logging.INFO)
        root.handlers = [everything, progress]
        ours.addHandler(lines)
        os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            yield console
        finally:
            progress.stop_clock()
            sys.stderr.flush()
            os.dup2(saved, sys.stderr.fileno())
            os.close(saved)
            ours.removeHandler(lines)
            root.handlers = []


def _open_log(log_file: Path) -> TextIO:
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        return log_file.open("a", encoding="utf-8")
    except OSError as error:
        raise OSError(
            f"{log_file}: expected to write a log there, found {error.strerror}; choose"
            " another folder with --root or MIDPG_ROOT"
        ) from error

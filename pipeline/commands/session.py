"""A data-set file in use by a command, with libraries' messages kept in a log."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.commands.options import FILE, FOLDER
from serving.commands.terminal import errors_told, stopped_in_order

if TYPE_CHECKING:
    from rich.console import Console

    from midpg_tf.spec import DatasetSpec

_DAY = "%Y%m%d"
_SECOND = f"{_DAY}-%H%M%S"

_STOPS = {"KeyboardInterrupt", "GracefulShutdown"}
"""What Ctrl+C raises; in TFX's infrastructure validator, SIGTERM raises the other."""

_FULL = 2**20
"""Bytes: a disk of fewer free ones is full."""

REFUSED = 3
"""Exit code where a gate says no; 1 is for errors, 2 for wrong usage."""

root_option = click.option(
    "--root",
    type=FOLDER,
    help="Where runs keep their files. Default: the environment's MIDPG_ROOT, or .midpg"
    " beside the data-set file.",
)

config_option = click.option(
    "--config",
    type=FILE,
    help="The server's --model_config_file. Default: models.config in the data"
    " set's folder of runs.",
)

json_file_option = click.option(
    "--json", "json_file", type=FILE, help="A file for the records."
)

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON in place of a table."
)


class Session:
    """A data-set file in use.

    Attributes:
        spec: Its content.
        paths: Where its runs keep their files.
        console: For messages to the person.
        log_file: Where libraries' messages go.
    """

    def __init__(
        self, spec_file: Path, root: Path, console: Console, log_file: Path
    ) -> None:
        from midpg_tf.spec import DatasetSpec
        from pipeline.paths import RunPaths

        self.spec: DatasetSpec = DatasetSpec.load(spec_file)
        self.paths = RunPaths(root / self.spec.name, spec_file)
        self.console = console
        self.log_file = log_file


@contextmanager
def session(
    spec_file: Path, root: Path | None, *, silent: bool = False, started: str = _DAY
) -> Iterator[Session]:
    """Loads the file, with libraries' messages kept off the terminal.

    Args:
        spec_file: The data-set file.
        root: Where runs keep their files. Default: beside the data-set file.
        silent: Whether the console says nothing.
        started: How the log's name tells when the command started, as `strftime` has
            it. Default: the day, whose commands share a log. They may do no more than
            read the runs' folder: where it can't be written, that log is a temporary
            file.
    """
    from pipeline.console import quiet_run
    from pipeline.paths import home

    try:
        # Before there is a log: a mistyped path must not become a folder.
        spec_file.stat()
    except OSError as error:
        raise click.ClickException(
            f"{spec_file}: expected a data-set file, found {error.strerror}"
        ) from error
    root = root.resolve() if root else home(spec_file)
    log_file = root / "logs" / f"{spec_file.stem}-{time.strftime(started)}.log"
    if started == _DAY and not _can_write(log_file):
        log_file = Path(tempfile.gettempdir(), log_file.name)
    with errors_told(), quiet_run(log_file) as console, errors_told(log_file):
        console.quiet = silent
        with console.status("loading TensorFlow"):
            opened = Session(spec_file, root, console, log_file)
        yield opened


@contextmanager
def long_session(spec_file: Path, root: Path | None) -> Iterator[Session]:
    """A session that ends by saying how long it took, and where its own log is.

    One that Ctrl+C or SIGTERM stops says that the next goes on from there, and one that
    fails on a full disk says so, which SQLite's own error doesn't.
    """
    started = time.monotonic()
    with stopped_in_order(), session(spec_file, root, started=_SECOND) as opened:
        try:
            yield opened
        except (KeyboardInterrupt, Exception) as error:
            if not _stopped(error):
                _note_full_disk(error, opened.log_file.parent)
                raise
            opened.console.print("\nstopped; the next run goes on from here")
            opened.console.print(f"log:       {opened.log_file}")
            raise KeyboardInterrupt from error
        opened.console.print(f"log:       {opened.log_file}")
        opened.console.print(f"took:      {time.monotonic() - started:.0f} s")


def _can_write(file: Path) -> bool:
    """Whether a file is there to append to, or can be made with its folder."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("a").close()
    except OSError:
        return False
    return True


def _stopped(error: BaseException | None) -> bool:
    """Whether somebody stopped the command; Beam makes another error of it."""
    return error is not None and (
        type(error).__name__ in _STOPS or _stopped(error.__cause__ or error.__context__)
    )


def _note_full_disk(error: BaseException, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _FULL:
        error.add_note(
            f"{folder}: expected room on the disk, found {free:,} bytes; make room, and"
            " run again"
        )

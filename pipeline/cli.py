"""The command `midpg`."""

# Heavy imports stay inside the commands, so that help and wrong options answer at once.

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import click
except ModuleNotFoundError:
    sys.exit("midpg: this command needs more than the core: pip install .[pipeline]")

from serving.cli import serve

if TYPE_CHECKING:
    from rich.console import Console

    from midpg_tf.spec import DatasetSpec
    from pipeline.run import Outcome

REFUSED = 3
"""Exit code of a run whose model was refused; 1 is for errors, 2 for wrong usage."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="midpg_tf")
def main() -> None:
    """One recommender for many scenarios: train, prove, push and serve it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


spec_argument = click.argument(
    "spec_file", metavar="SPEC.yaml", type=click.Path(dir_okay=False, path_type=Path)
)
root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs keep their files. Default: .midpg beside the data-set file.",
)
cache_option = click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    help="Take components whose inputs haven't changed from the last run.",
)


@main.command()
@spec_argument
@root_option
@cache_option
def run(spec_file: Path, root: Path | None, cache: bool) -> None:
    """Train on a data set, compare, and push the model if it passes the gates."""
    with _session(spec_file, root) as session:
        outcome = _run(session, cache)
    sys.exit(0 if _passed(outcome) else REFUSED)


@main.command()
@click.option(
    "--data",
    "name",
    type=click.Choice(["movielens-100k", "obd"]),
    default="movielens-100k",
    show_default=True,
    help="A data set of the repository's examples.",
)
@root_option
@cache_option
def demo(name: str, root: Path | None, cache: bool) -> None:
    """Real rows to answers over gRPC: fetch, train, compare, push, serve, ask."""
    spec_file = Path(__file__).resolve().parents[1] / "examples" / f"{name}.yaml"
    with _session(spec_file, root) as session:
        from pipeline import datasets
        from pipeline.serving_check import check_serving

        path = Path(session.spec.data.path)
        if not path.exists():
            rows = datasets.fetch(name, path)
            session.console.print(
                f"{rows:,} rows in {path} ({datasets.DATASETS[name].licence})"
            )
        outcome = _run(session, cache)
        if _passed(outcome):
            check_serving(session.spec, session.paths, session.console)
            session.console.print(f"\nartifacts: {session.paths.root}")
            session.console.print(
                f"serve it:  midpg serve --port=8500 --model_name={session.spec.name}"
                f" --model_base_path={session.paths.serving}"
            )
    sys.exit(0 if _passed(outcome) else REFUSED)


@main.group()
def data() -> None:
    """Data sets for the examples."""


@data.command("fetch")
@click.argument("name", type=click.Choice(["movielens-100k", "obd"]))
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Folder for the CSV.",
)
def fetch_data(name: str, folder: Path) -> None:
    """Download a data set and write it as CSV."""
    from pipeline import datasets

    path = folder / f"{name}.csv"
    with _errors_told():
        rows = datasets.fetch(name, path)
    click.echo(f"{rows:,} rows in {path} ({datasets.DATASETS[name].licence})")


main.add_command(serve)


class Session:
    """A data-set file in use.

    Attributes:
        spec: Its content.
        paths: Where its runs keep their files.
        console: For messages to the person.
    """

    def __init__(self, spec_file: Path, root: Path, console: Console) -> None:
        from midpg_tf.spec import DatasetSpec
        from pipeline.paths import RunPaths

        self.spec: DatasetSpec = DatasetSpec.load(spec_file)
        self.paths = RunPaths(root / self.spec.name)
        self.console = console


@contextmanager
def _session(spec_file: Path, root: Path | None) -> Iterator[Session]:
    """Loads the file, with libraries' messages kept off the terminal."""
    from pipeline.console import quiet_run
    from pipeline.paths import home

    started = time.monotonic()
    root = root.resolve() if root else home(spec_file)
    log_file = root / "logs" / f"{spec_file.stem}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with quiet_run(log_file) as console, _errors_told(log_file):
        with console.status("loading TensorFlow"):
            session = Session(spec_file, root, console)
        yield session
        console.print(f"log:       {log_file}")
        console.print(f"took:      {time.monotonic() - started:.0f} s")


@contextmanager
def _errors_told(log_file: Path | None = None) -> Iterator[None]:
    """Ends the command with a message instead of a traceback, which goes to the log."""
    import logging

    try:
        yield
    except Exception as error:
        logging.getLogger("pipeline").exception("the command failed")
        # A bare KeyError, for one, says nothing but the key.
        known = isinstance(error, ValueError | RuntimeError | OSError) or (
            type(error) is LookupError
        )
        kind = "" if known else f"{type(error).__name__}: "
        log = f"\nlog: {log_file}" if log_file else ""
        raise click.ClickException(f"{kind}{error}{log}") from error


def _run(session: Session, cache: bool) -> Outcome:
    from rich.text import Text

    with session.console.status("loading TFX"):
        from pipeline.evaluation.table import figures_table
        from pipeline.run import run

    outcome = run(session.spec, session.paths, enable_cache=cache)
    print_ = session.console.print
    print_()
    table = figures_table(outcome.report, session.spec.gates.confidence)
    print_(table, soft_wrap=False)
    for note in outcome.report.notes:
        print_(f"note: {note}")
    for refusal in outcome.report.refusals:
        print_(Text.assemble(("refused: ", "red"), str(refusal)))
    if not outcome.servable:
        print_("[red]refused:[/red] the model can't answer in the serving stack")
    if outcome.pushed:
        print_(f"pushed:    {session.paths.serving}/{outcome.version}")
    elif outcome.version is not None:
        print_(f"unchanged: version {outcome.version} stays in production")
    else:
        print_("nothing was pushed, and there is no model in production")
    return outcome


def _passed(outcome: Outcome) -> bool:
    return outcome.report.blessed and outcome.servable

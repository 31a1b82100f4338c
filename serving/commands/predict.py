"""The command that asks a server for the scores of the rows in a file."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serving.commands.connection import client_tls, connection_options
from serving.commands.options import FILE, model_option, spec_argument
from serving.commands.row_files import (
    SUFFIXES,
    Batch,
    RowFile,
    RowFileError,
    open_rows,
)
from serving.commands.terminal import errors_told, notices_left_out, open_console

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from midpg_tf.spec import DatasetSpec
    from serving.client import Client
    from serving.commands.score_files import Write

_SHOWN = 10


def _check_suffix(
    context: click.Context, parameter: click.Parameter, path: Path | None
) -> Path | None:
    if path is not None and path.suffix not in SUFFIXES:
        raise click.BadParameter(f"expected a name ending in {' or '.join(SUFFIXES)}")
    return path


def _file(name: str, text: str, **settings: Any) -> Callable[..., Any]:
    return click.option(name, type=FILE, help=text, **settings)


@click.command()
@spec_argument
@_file(
    "--rows",
    "CSV (with a header line) or Parquet, by its name's end.",
    required=True,
    callback=_check_suffix,
)
@model_option
@click.option("--version", type=click.IntRange(0), help="Default: the newest.")
@click.option("--label", help="The version with this label, such as stable.")
@_file(
    "--output",
    "Rows and scores as CSV or Parquet; written as a whole or not at all.",
    callback=_check_suffix,
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds that the scores of 1,000 rows may take.",
)
@connection_options
def predict(
    spec_file: Path,
    rows: Path,
    server: str,
    model_name: str | None,
    version: int | None,
    label: str | None,
    output: Path | None,
    timeout: float,
    **tls: Any,
) -> None:
    """Ask a server for the scores of the rows in a file, and show the first ones.

    The file has the data set's columns by name; others are ignored, and the output
    keeps them. A request that the server is too busy for is sent again a few times.
    Nothing is sent to a model that takes a feature which the data-set file doesn't
    have, or has as another kind.
    """
    if version is not None and label is not None:
        raise click.UsageError("expected --version or --label, found both")
    console = open_console()
    with errors_told():
        with console.status("loading TensorFlow"), notices_left_out():
            from midpg_tf.spec import DatasetSpec
            from serving.client import Client
            from serving.commands.score_files import score_file

        spec = DatasetSpec.load(spec_file)
        file = open_rows(rows, spec.features, others=output is not None)
        client = Client(
            server,
            model_name or spec.name,
            spec,
            version=version,
            label=label,
            timeout=timeout,
            tls=client_tls(**tls),
        )
        with client, contextlib.ExitStack() as stack:
            write: Write | None = None
            if output is not None:
                write = stack.enter_context(score_file(output, file, spec))
            _check_features(client, spec, spec_file)
            _run(client, spec, file, write, console)
        if output is not None:
            console.print(f"scores in {output}")


def _check_features(client: Client, spec: DatasetSpec, spec_file: Path) -> None:
    """Refuses a model of features that the rows aren't read for.

    It would take a multivalued one for empty in all rows, without a word.
    """
    from serving.features import lost_features
    from serving.signatures import RAW_SIGNATURE

    with _server_named(client):
        signature = client.metadata().get(RAW_SIGNATURE)
    if signature and (lost := lost_features(signature, spec)):
        raise ValueError(
            f"model {client.model_name} at {client.target}: expected one that takes"
            f" features of {spec_file}, found that it takes {', '.join(lost)}, which"
            " the file doesn't have, or has as another kind; take the file that the"
            " version was trained with"
        )


def _run(
    client: Client,
    spec: DatasetSpec,
    file: RowFile,
    write: Write | None,
    console: Console,
) -> None:
    """Scores all rows, and shows the first ones."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    started = time.monotonic()
    shown: list[tuple[int, Mapping[str, Any], float]] = []
    count = 0
    progress = Progress(
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # would leave empty lines in a file
    )
    with progress:
        task = progress.add_task("", total=1.0, rows=0)
        for batch in file.batches(client.rows_per_request):
            scores = _score(client, file, batch)
            if write is not None:
                write(batch.rows, scores)
            first = zip(batch.numbers, batch.rows, scores.tolist(), strict=True)
            shown.extend(itertools.islice(first, _SHOWN - len(shown)))
            count += len(scores)
            progress.update(task, completed=batch.read, rows=count)
    if shown:
        _show(shown, count, spec, file, console)
    console.print(
        f"{count:,} rows scored by {client.model_name} at {client.target} in"
        f" {time.monotonic() - started:.1f} s"
    )


def _score(client: Client, file: RowFile, batch: Batch) -> np.ndarray:
    from midpg_tf.spec import RowError
    from serving.client import RequestRowError

    try:
        with _server_named(client):
            return client.predict(batch.rows)
    except RequestRowError as error:
        problem = RowError(error.column, error.problem)
        where = file.where(batch.numbers[error.index or 0])
        raise RowFileError(f"{where}: {problem}") from error


@contextlib.contextmanager
def _server_named(client: Client) -> Iterator[None]:
    """Says in an error of the server whose it is."""
    from serving.errors import ServingError

    try:
        yield
    except ServingError as error:
        raise RuntimeError(
            f"model {client.model_name} at {client.target}: {error}"
        ) from error


def _show(
    shown: Sequence[tuple[int, Mapping[str, Any], float]],
    count: int,
    spec: DatasetSpec,
    file: RowFile,
    console: Console,
) -> None:
    from rich.text import Text

    from serving.commands.tables import plain_table

    columns = [file.unit, *spec.scenario, "score"]
    table = plain_table("Scores", columns, numeric=[file.unit, "score"])
    for number, row, score in shown:
        values = [row[name] for name in spec.scenario]
        scenario = [Text("" if value is None else str(value)) for value in values]
        table.add_row(str(number), *scenario, f"{score:.6f}")
    console.print(table, soft_wrap=False)
    if count > len(shown):
        console.print(f"and {count - len(shown):,} more")

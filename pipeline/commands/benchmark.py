"""The commands that compare models, and time them."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.commands.session import (
    json_file_option,
    long_session,
    root_option,
)
from serving.commands.options import FILE, FOLDER
from serving.commands.terminal import errors_told, notices_left_out, open_console


@click.group()
def benchmark() -> None:
    """Which model is worth its cost."""


def _list(
    type_: Callable[[str], Any], *, distinct: bool = True
) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """Reads values parted by commas.

    Args:
        type_: Reads a value, or raises click's error.
        distinct: Whether each is taken just once.
    """

    def read(
        context: click.Context, parameter: click.Parameter, text: str
    ) -> list[Any]:
        try:
            values = [type_(part.strip()) for part in text.split(",")]
        except click.BadParameter as error:
            raise click.BadParameter(
                f"expected values parted by commas, found {text!r}: {error.message}"
            ) from None
        return list(dict.fromkeys(values)) if distinct else values

    return read


@benchmark.command()
@click.option(
    "--spec",
    "spec_file",
    type=FILE,
    required=True,
    help="The data-set file.",
)
@click.option(
    "--models",
    default="mlp,midpg",
    show_default=True,
    callback=_list(str),
    help="Models to compare.",
)
@click.option(
    "--baseline",
    help="The model that others are compared to. Default: the first of --models; in an"
    " ablation, midpg.",
)
@click.option(
    "--seeds",
    default="2022,2023,2024",
    show_default=True,
    callback=_list(click.IntRange(0, 2**32 - 1)),
    help="Each model is trained with each; they also draw a split by hash.",
)
@click.option(
    "--budget",
    type=click.Choice(["widths", "parameters"]),
    default="widths",
    show_default=True,
    help="What models have in common: hidden widths, or the number of parameters"
    " behind the embeddings.",
)
@click.option("--ablation", is_flag=True, help="Compare variants of midpg, too.")
@click.option(
    "--split",
    type=click.Choice(["eval", "test"]),
    default="test",
    show_default=True,
    help="Where models are compared. Choose settings on eval: test is for the outcome."
    " A split by hash is drawn anew with each seed, so that some eval rows of one are"
    " test rows of another: choose by a split by time or column, or with one seed.",
)
@click.option(
    "--output",
    type=FOLDER,
    help="Where report and trainings go; finished trainings there are taken. Default:"
    " benchmark in the data set's folder of runs.",
)
@json_file_option
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The truth.json of synthetic rows, to compare with what is possible.",
)
@root_option
def quality(
    spec_file: Path,
    root: Path | None,
    output: Path | None,
    json_file: Path | None,
    **options: Any,
) -> None:
    """Compare models on the same splits with the same settings, over seeds."""
    with long_session(spec_file, root) as session:
        with session.console.status("loading TensorFlow Transform"):
            from pipeline.benchmark.command import QualityOptions, run_quality

        folder = session.paths.root / "benchmark"
        asked = QualityOptions(
            output=output or folder, json=json_file, cache=folder / "data", **options
        )
        run_quality(session.spec, asked, session.console)


@benchmark.command()
@click.option(
    "--models",
    default="midpg",
    show_default=True,
    callback=_list(str),
    help="Models to time beside the MLP.",
)
@click.option(
    "--scenarios",
    default="4,16,64,256",
    show_default=True,
    callback=_list(click.IntRange(1)),
)
@click.option(
    "--skews",
    default="0,1",
    show_default=True,
    callback=_list(click.FloatRange(0)),
    help="Rows of a scenario are proportional to rank^-skew; 0 is uniform.",
)
@click.option("--batch", type=click.IntRange(1), default=4096, show_default=True)
@click.option("--candidates", type=click.IntRange(1), default=200, show_default=True)
@click.option(
    "--hidden",
    default="256,128,64",
    show_default=True,
    callback=_list(click.IntRange(1), distinct=False),
)
@click.option("--repeats", type=click.IntRange(1), default=30, show_default=True)
@json_file_option
def speed(json_file: Path | None, **options: Any) -> None:
    """Time training steps and inference against an equally wide MLP."""
    with errors_told():
        console = open_console()
        with console.status("loading TensorFlow"), notices_left_out():
            from pipeline.benchmark.report import write_json
            from pipeline.benchmark.speed import measure, overhead, speed_table

        found = list(measure(console=console, **options))
        console.print(speed_table(found).rich())
        for scenarios in options["scenarios"]:
            console.print(str(overhead(options["hidden"], scenarios)))
        if json_file:
            write_json([one._asdict() for one in found], json_file)


@benchmark.command()
@click.option(
    "--scenarios",
    default="4,16,64",
    show_default=True,
    callback=_list(click.IntRange(1)),
    help="Numbers of scenarios; a request is of one.",
)
@click.option(
    "--candidates",
    default="1,100,500",
    show_default=True,
    callback=_list(click.IntRange(1)),
    help="Numbers of rows in a request.",
)
@click.option(
    "--clients",
    default="1,4",
    show_default=True,
    callback=_list(click.IntRange(1)),
    help="Numbers of clients, each with a connection of its own.",
)
@click.option(
    "--protocols",
    default="grpc,rest",
    show_default=True,
    callback=_list(click.Choice(["grpc", "rest"])),
    help="How requests are sent.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=3.0,
    show_default=True,
    help="Of load, for each line of the table. The default takes about ten minutes in"
    " all; p99.9 needs thousands of requests, so more.",
)
@click.option(
    "--isolated/--in-process",
    default=True,
    show_default=True,
    help="Whether the server runs a model in a process of its own, as by default.",
)
@click.option(
    "--batching/--no-batching",
    default=False,
    show_default=True,
    help="Whether the server puts requests of several clients together.",
)
@click.option(
    "--server-cores",
    type=click.IntRange(1),
    help="Number of cores of the server, and of the model in process that it is"
    " compared to; the load is sent by the others. Default: they share all.",
)
@json_file_option
def serving(json_file: Path | None, **options: Any) -> None:
    """Load the embedded server with MI-DPG, and with an equally wide MLP."""
    import tempfile

    from pipeline.console import quiet_run

    with tempfile.NamedTemporaryFile(
        prefix="midpg-benchmark-", suffix=".log", delete=False
    ) as log:
        log_file = Path(log.name)
    with quiet_run(log_file) as console, errors_told(log_file):
        with console.status("loading TensorFlow Transform"):
            from pipeline.benchmark.serving.command import run_serving
            from pipeline.benchmark.serving.measure import Options

        run_serving(Options(**options), json_file, console)
        console.print(f"log:       {log_file}")

"""The commands that fetch, convert and draw data sets."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

from pathlib import Path

import click

from serving.commands.options import FILE, FOLDER
from serving.commands.terminal import errors_told, notices_left_out

DATASETS = click.Choice(["movielens-100k", "obd"])
"""The names of `pipeline.datasets.DATASETS`, which needs pandas."""


@click.group()
def data() -> None:
    """Data sets for the examples."""


@data.command("fetch")
@click.argument("name", type=DATASETS)
@click.option(
    "--to",
    "folder",
    type=FOLDER,
    default=Path("data"),
    show_default=True,
    help="Folder for the CSV.",
)
def fetch_data(name: str, folder: Path) -> None:
    """Download a data set and write it as CSV."""
    from pipeline import datasets

    path = folder / f"{name}.csv"
    with errors_told():
        rows = datasets.fetch(name, path)
    click.echo(f"{rows:,} rows in {path} ({datasets.DATASETS[name].licence})")


@data.command("movielens-1m")
@click.argument("folder", type=FOLDER)
@click.option(
    "--output",
    type=FILE,
    default=Path("data/movielens-1m.csv"),
    show_default=True,
    help="The CSV.",
)
def movielens_1m(folder: Path, output: Path) -> None:
    """Write your own copy of MovieLens-1M, GroupLens' folder ml-1m, as CSV."""
    from pipeline import datasets

    with errors_told():
        rows = datasets.movielens_1m(folder, output)
    click.echo(
        f"{rows:,} rows in {output} (GroupLens: research use, no redistribution)"
    )


@data.command("synth")
@click.option("--scenarios", type=click.IntRange(2, 256), default=16, show_default=True)
@click.option("--rows", type=click.IntRange(1000), default=200_000, show_default=True)
@click.option(
    "--difference",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Strength of the scenarios' own parts against the shared one.",
)
@click.option(
    "--skew",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Rows of a scenario are proportional to rank^-skew; above 0, one has 1 %.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--output",
    type=FOLDER,
    required=True,
    help="Folder for rows.csv, synth.yaml and truth.json.",
)
def synth(
    scenarios: int, rows: int, difference: float, skew: float, seed: int, output: Path
) -> None:
    """Draw rows of many scenarios, of which the best possible figures are known."""
    with errors_told():
        with notices_left_out():
            from pipeline.synth import Synthetic, write

        best = write(Synthetic(scenarios, rows, difference, skew, seed), output)
    click.echo(
        f"{rows:,} rows in {output / 'rows.csv'}; at best, test AUC"
        f" {best['test'][0].auc:.4f}, log loss {best['test'][0].logloss:.4f}"
    )
    click.echo(f"{output / 'synth.yaml'} describes them")

"""The command that compares what production sends with the training data."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.session import (
    REFUSED,
    as_json_option,
    root_option,
    session,
)
from serving.commands.options import model_option, spec_argument

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.skew.comparison import SkewReport

_SHOWN = 30


@click.command()
@spec_argument
@click.option(
    "--log",
    required=True,
    metavar="PREFIX|GLOB",
    help="The filename_prefix of the server's logging_config, or a pattern of files.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Largest distance that counts as the same, apart from chance. Default: the"
    " data-set file's data.drift.",
)
@click.option(
    "--min-requests",
    type=click.IntRange(1),
    help="Requests in the logs that a scenario needs; of unequal sizes, their effective"
    " number. Default: the data-set file's gates.per_scenario.min_rows.",
)
@click.option(
    "--version",
    type=click.IntRange(1),
    help="Compare the rows that this version answered. Default: of the versions that"
    " runs here have pushed, the one that answered the most.",
)
@model_option
@root_option
@as_json_option
def skew(
    spec_file: Path,
    log: str,
    threshold: float | None,
    min_requests: int | None,
    version: int | None,
    model_name: str | None,
    root: Path | None,
    as_json: bool,
) -> None:
    """Compare what production sends with the training data, by scenario.

    Says which feature drifted, in which scenario, and exits with 3 if any did.
    """
    from rich.text import Text

    with session(spec_file, root, silent=as_json) as opened:
        with opened.console.status("loading TFX"):
            from midpg_tf.spec import Drift
            from pipeline.skew.check import check_skew

        bounds = opened.spec.data.drift
        if threshold is not None:
            bounds = Drift(categorical=threshold, numeric=threshold)
        report = check_skew(
            opened.spec,
            opened.paths,
            log,
            opened.console,
            model=model_name or opened.spec.name,
            bounds=bounds,
            min_requests=min_requests or opened.spec.gates.per_scenario.min_rows,
            version=version,
        )
        if as_json:
            click.echo(report.model_dump_json(indent=2))
        opened.console.print(_table(report), soft_wrap=False)
        for note in report.notes:
            opened.console.print(f"note: {note}")
        for one in report.drifted:
            opened.console.print(Text.assemble(("drifted: ", "red"), str(one)))
    sys.exit(REFUSED if report.drifted else 0)


def _table(report: SkewReport) -> Table:
    from rich.text import Text

    from serving.commands.tables import plain_table

    shown = report.comparisons[: max(_SHOWN, len(report.drifted))]
    left_out = len(report.comparisons) - len(shown)
    more = f"; {left_out:,} more are within their bounds" if left_out else ""
    answered = f" that version {report.version} answered" if report.version else ""
    numbers = ("rows", "distance", "bound", "new values")
    table = plain_table(
        f"{report.rows:,} rows in production{answered} against training{more}",
        ["scenario", "feature", *numbers, "moved most", "verdict"],
        numeric=numbers,
        whole=["verdict"],
    )
    for one in shown:
        table.add_row(
            Text(one.scenario),
            Text(one.feature),
            f"{one.rows:,}",
            f"{one.distance:.3f}",
            f"{one.bound:.3f}",
            "?" if one.new is None else f"{one.new:.1%}",
            Text(
                f"{one.moved}: {one.share_in_training:.1%} to"
                f" {one.share_in_production:.1%}"
            ),
            Text("drifted", "red") if one.drifted else "same",
        )
    return table

"""The command that judges a version in production on rows that have come since."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline.commands.session import (
    REFUSED,
    as_json_option,
    config_option,
    root_option,
    session,
)
from serving.commands.options import model_option, spec_argument


@click.command()
@spec_argument
@click.option(
    "--rows",
    required=True,
    metavar="FILE|GLOB",
    help="Rows with the label, in the format of the data-set file's.",
)
@click.option(
    "--version",
    type=click.IntRange(1),
    help="The version to judge. Default: the one in production, which is stable in the"
    " server's model configuration file, or else the newest.",
)
@click.option("--against", type=click.IntRange(1), help="A version to compare it with.")
@config_option
@model_option
@root_option
@as_json_option
def evaluate(
    spec_file: Path,
    rows: str,
    version: int | None,
    against: int | None,
    config: Path | None,
    model_name: str | None,
    root: Path | None,
    as_json: bool,
) -> None:
    """Show how a version does, by scenario, on rows whose outcome is known by now.

    Exits with 3 if it breaks a bound of the data-set file's gates, and says which. Take
    rows that came after it was trained: those that it was trained on make it look good.
    """
    from rich.text import Text

    with session(spec_file, root, silent=as_json) as opened:
        with opened.console.status("loading TFX"):
            from pipeline.evaluate import evaluate_version
            from pipeline.evaluation.gates import CANDIDATE
            from pipeline.evaluation.table import figures_table, judged_line

        found = evaluate_version(
            opened.spec,
            opened.paths,
            rows,
            opened.console,
            version=version,
            against=against,
            models_file=config,
            model_name=model_name,
        )
        if as_json:
            click.echo(found.model_dump_json(indent=2))
        table = figures_table(
            found.report,
            opened.spec.gates.confidence,
            rows=f"{found.report.slices[0].rows:,} rows",
            names={CANDIDATE: f"version {found.version}"},
        )
        opened.console.print(table, soft_wrap=False)
        for note in found.report.notes:
            opened.console.print(f"note: {note}")
        opened.console.print(judged_line(found.report))
        for refusal in found.report.refusals:
            opened.console.print(Text.assemble(("fails: ", "red"), str(refusal)))
    sys.exit(REFUSED if found.report.refusals else 0)

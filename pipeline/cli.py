"""The command `midpg`."""

from __future__ import annotations

import os
import sys
from typing import Any

try:
    import click
except ModuleNotFoundError:
    sys.exit("midpg: this command needs more than the core: pip install '.[pipeline]'")

from pipeline.commands.benchmark import benchmark
from pipeline.commands.data import data
from pipeline.commands.evaluate import evaluate
from pipeline.commands.keys import keys
from pipeline.commands.run import demo, run
from pipeline.commands.skew import skew
from pipeline.commands.versions import promote, rollback, status
from serving.cli import serve
from serving.commands.predict import predict

_EXTRAS = {"benchmark": "benchmark", "predict": "serving", "serve": "serving"}
"""Which of setup.py's extras a command needs; all others need `pipeline`."""


class _Commands(click.Group):
    """Says what to install where a command finds that it isn't."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get(str(context.invoked_subcommand), "pipeline")
            raise click.ClickException(
                f"{error}; this command needs: pip install '.[{extra}]'"
            ) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="midpg_tf")
def main() -> None:
    """One recommender for many scenarios: train, prove, push and serve it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


for command in (
    run,
    demo,
    keys,
    data,
    benchmark,
    serve,
    predict,
    promote,
    rollback,
    status,
    evaluate,
    skew,
):
    main.add_command(command)

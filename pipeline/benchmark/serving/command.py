"""What `midpg benchmark serving` does once its options are read."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pipeline.benchmark.report import write_json
from pipeline.benchmark.serving.measure import Options, ServingRecord, measure
from pipeline.benchmark.serving.tables import (
    criteria_table,
    ratios_table,
    serving_table,
)
from serving.commands.terminal import stopped_in_order


def run_serving(options: Options, json_file: Path | None, console: Console) -> None:
    """Measures, then prints the tables, and writes the records.

    If it is stopped, it does so with what was measured, and ends its processes.

    Args:
        options: What is measured.
        json_file: A file for the records.
        console: For progress and tables.

    Raises:
        ServingError: A server didn't start.
        KeyboardInterrupt: It was stopped, by Ctrl+C or SIGTERM.
    """
    records: list[ServingRecord] = []
    with (
        stopped_in_order(),
        tempfile.TemporaryDirectory(prefix="midpg-serving-") as folder,
    ):
        try:
            for one in measure(options, Path(folder), console):
                records.append(one)
                if one.errors:
                    console.print(
                        f"{one.errors} errors of {one.model} over {one.protocol},"
                        f" first: {one.first_error}"
                    )
        finally:
            if records:
                _report(records, json_file, console)


def _report(
    records: Sequence[ServingRecord], json_file: Path | None, console: Console
) -> None:
    for table in (serving_table, ratios_table, criteria_table):
        console.print(table(records).rich())
    if json_file:
        write_json([dataclasses.asdict(one) for one in records], json_file)

"""The gates' figures as a table on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from midpg_tf.spec import OVERALL
from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.gates import (
    BASELINE,
    CANDIDATE,
    GateReport,
    Slice,
)
from serving.commands.tables import plain_table

_MOST_UNJUDGED = 10
"""Most scenarios that can't be judged and are shown."""

_COLOURS = {"gains": "green", "loses": "red", "cannot tell": "", "too few": "dim"}


def figures_table(
    report: GateReport,
    confidence: float,
    *,
    rows: str = "Test split",
    names: Mapping[str, str] | None = None,
) -> Table:
    """A row a scenario: rows, AUC, log loss and calibration of each model, and gains.

    Where more than 10 scenarios can't be judged, these are left out.

    Args:
        report: The gates' outcome.
        confidence: Coverage of the intervals, for the title.
        rows: What the rows are, for the title.
        names: What to call models. Default: as the report does.
    """
    numbers = ("rows", "positive")
    figures = ("AUC", "log loss", "calibration", "gain in AUC")
    table = plain_table(
        f"{rows} (± half of the {100 * confidence:.6g}% interval)",
        ["scenario", *numbers, "model", *figures],
        numeric=numbers,
        whole=["model"],
    )
    models = sorted(report.slices[0].models, key=lambda model: model != BASELINE)
    for one in _shown(report.slices):
        for index, model in enumerate(models):
            last = index == len(models) - 1
            cells = _cells(
                one, model, (names or {}).get(model, model), first=index == 0
            )
            table.add_row(*cells, end_section=last)
    return table


def judged_line(report: GateReport) -> str:
    """How many scenarios the gates could judge by themselves, as a sentence."""
    scenarios = [one for one in report.slices if one.name != OVERALL]
    judged = sum(one.judged for one in scenarios)
    line = f"judged: {judged:,} of {len(scenarios):,} scenarios"
    if judged == len(scenarios):
        return line
    left_out = len(report.slices) - len(_shown(report.slices))
    return (
        f"{line}; the others have too few rows, conversions or customers"
        f" (gates.per_scenario){', and are not shown' if left_out else ''}"
    )


def short(interval: Interval, digits: int, sign: str = "") -> str:
    """A figure and half of its interval; a dash where it isn't defined.

    Args:
        interval: The figure.
        digits: Number of decimals.
        sign: `+` for a sign even if it isn't negative.
    """
    if not math.isfinite(interval.value):
        return "-"
    half = (interval.high - interval.low) / 2
    around = f" ±{half:.{digits}f}" if math.isfinite(half) else ""
    return f"{interval.value:{sign}.{digits}f}{around}"


def _shown(slices: list[Slice]) -> list[Slice]:
    kept = [one for one in slices if one.judged or one.name == OVERALL]
    return slices if len(slices) - len(kept) <= _MOST_UNJUDGED else kept


def _cells(one: Slice, model: str, model_name: str, *, first: bool) -> list[str | Text]:
    figures = one.models[model]
    # A scenario's name may look like markup: [unknown].
    head = [Text(one.name), f"{one.rows:,}", f"{one.positives / one.rows:.1%}"]
    cells: list[str | Text] = [
        *(head if first else ["", "", ""]),
        model_name,
        short(figures.auc, 4),
        short(figures.log_loss, 4),
        short(figures.calibration, 3),
    ]
    if model == CANDIDATE:
        return [*cells, ""]
    verdict = one.verdict(model)
    gain = short(one.gains[model], 4, "+")
    return [*cells, Text.assemble(f"{gain} ", (verdict, _COLOURS[verdict]))]

"""The gates' figures as a table on the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.gates import (
    BASELINE,
    CANDIDATE,
    PRODUCTION,
    GateReport,
    Slice,
)
from pipeline.tables import plain_table

_COLOURS = {"gains": "green", "loses": "red", "cannot tell": "", "too few": "dim"}


def figures_table(report: GateReport, confidence: float) -> Table:
    """A row a scenario: rows, AUC, log loss and calibration of each model, and gains.

    Args:
        report: The gates' outcome.
        confidence: Coverage of the intervals, for the title.
    """
    table = plain_table(f"Test split (± half of the {confidence:.0%} interval)")
    table.add_column("scenario", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("positive", justify="right", no_wrap=True)
    models = [
        model
        for model in (BASELINE, CANDIDATE, PRODUCTION)
        if model in report.slices[0].models
    ]
    table.add_column("model", no_wrap=True)
    for figure in ("AUC", "log loss", "calibration", "gain in AUC"):
        table.add_column(figure, no_wrap=True)
    for one in report.slices:
        for index, model in enumerate(models):
            last = index == len(models) - 1
            table.add_row(*_cells(one, model, first=index == 0), end_section=last)
    return table


def _cells(one: Slice, model: str, *, first: bool) -> list[str | Text]:
    figures = one.models[model]
    # A scenario's name may look like markup: [unknown].
    head = [Text(one.name), f"{one.rows:,}", f"{one.positives / one.rows:.1%}"]
    cells: list[str | Text] = [
        *(head if first else ["", "", ""]),
        model,
        _short(figures.auc, 4),
        _short(figures.log_loss, 4),
        _short(figures.calibration, 3),
    ]
    if model == CANDIDATE:
        return [*cells, ""]
    verdict = one.verdict(model)
    colour = _COLOURS[verdict]
    text = f"[{colour}]{verdict}[/]" if colour else verdict
    return [*cells, f"{_short(one.gains[model], 4, '+')} {text}"]


def _short(interval: Interval, digits: int, sign: str = "") -> str:
    half = (interval.high - interval.low) / 2
    return f"{interval.value:{sign}.{digits}f} ±{half:.{digits}f}"

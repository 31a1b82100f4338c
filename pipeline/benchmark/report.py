"""A benchmark's outcome as files, and as tables on the terminal."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table as RichTable
from rich.text import Text

from midpg_tf.models.registry import shared_hyperparameters
from pipeline.benchmark.comparison import Gap, Line, Spread
from pipeline.benchmark.training import Trial
from pipeline.evaluation.bootstrap import Interval
from serving.commands.tables import plain_table

_COLOURS = {"gains": "green", "loses": "red"}


class Table(NamedTuple):
    """Cells of text.

    Attributes:
        title: What they are.
        headings: One a column.
        rows: Rows of cells.
        sections: Indices of rows that end a section.
        note: A sentence below them. Default: none.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    sections: frozenset[int] = frozenset()
    note: str = ""

    def markdown(self) -> str:
        """As Markdown, the title in bold above it."""
        lines = [self.headings, ["---"] * len(self.headings), *self.rows]
        cells = "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)
        parts = [f"**{self.title}**", cells, self.note]
        return "\n\n".join(filter(None, parts))

    def rich(self) -> RichTable:
        """For the terminal, with verdicts in colour."""
        table = plain_table(self.title, self.headings)
        table.caption, table.caption_justify = self.note, "left"
        for index, row in enumerate(self.rows):
            cells = [Text(cell, _COLOURS.get(cell, "")) for cell in row]
            table.add_row(*cells, end_section=index in self.sections)
        return table


def figures_table(lines: Sequence[Line], split: str) -> Table:
    """A row for each scenario and model: means over seeds.

    Args:
        lines: Of `compare`.
        split: Which split they are of, for the title.
    """
    rows = [
        [
            line.scenario,
            f"{line.rows:,.0f}",
            line.model,
            _spread(line.auc),
            _spread(line.gauc),
            _spread(line.logloss),
            _spread(line.calibration, 3),
        ]
        for line in lines
    ]
    headings = ("scenario", "rows", "model", "AUC", "GAUC", "log loss", "calibration")
    title = f"Figures on the {split} split: mean over seeds (standard deviation)"
    return _by_scenario(title, headings, rows)


def gains_table(
    lines: Sequence[Line], confidence: float, errors: str, seeds: int
) -> Table:
    """A row for each scenario and model other than the baseline.

    Args:
        lines: Of `compare`; the baseline's have no gain.
        confidence: Coverage of the intervals, for the title.
        errors: What they are over, for the title; of `errors_covered`.
        seeds: How many there are. Of one, intervals leave out the chance of training:
            what it "gains", another seed may undo.
    """
    (baseline,) = {line.model for line in lines if line.gains is None}
    rows = [
        [
            line.scenario,
            f"{line.rows:,.0f}",
            line.model,
            _interval(line.gains.auc),
            _interval(line.gains.logloss),
            str(line.verdict),
        ]
        for line in lines
        if line.gains
    ]
    verdict = "verdict on AUC" if seeds > 1 else "verdict on these trainings"
    headings = ("scenario", "rows", "model", "AUC", "log loss", verdict)
    title = f"Gains over {baseline} [{100 * confidence:.6g}% interval over {errors}]"
    note = (
        "Verdicts on scenarios are by intervals that are wider than these, for the"
        " number of scenarios judged."
    )
    return _by_scenario(title, headings, rows)._replace(note=note)


def gaps_table(gaps: Sequence[Gap]) -> Table:
    """A row for each scenario and model other than the baseline, of known truth."""
    rows = [
        [
            gap.scenario,
            f"{gap.rows:,}",
            gap.model,
            f"{gap.best:.4f}",
            f"{gap.best - gap.auc:.4f}",
            "" if math.isnan(gap.closed) else f"{gap.closed:.0%}",
        ]
        for gap in gaps
    ]
    headings = ("scenario", "rows", "model", "best AUC", "missing", "gap closed")
    title = "Against the truth: share of the gap between baseline and best AUC"
    return _by_scenario(title, headings, rows)


def settings_table(trials: Sequence[Trial]) -> Table | None:
    """A row a model: what all models have, and not all the same; None without any."""
    shared = shared_hyperparameters()
    settings = {
        name: {key: _setting(results[0].model[key]) for key in shared}
        for name, results in _by_model(trials).items()
    }
    differ = [key for key in shared if len({s[key] for s in settings.values()}) > 1]
    rows = [[name, *(one[key] for key in differ)] for name, one in settings.items()]
    headings = ("model", *differ)
    return Table("Settings that differ", headings, rows) if differ else None


def cost_table(trials: Sequence[Trial]) -> Table:
    """A row a model: what it costs."""
    rows = []
    for name, results in _by_model(trials).items():
        speeds = [result.examples_per_second for result in results]
        epochs = [result.epochs for result in results]
        rows.append(
            [
                name,
                _setting(results[0].model["hidden"]),
                f"{results[0].parameters:,}",
                f"{results[0].dense_parameters:,}",
                f"{np.mean(speeds):,.0f}",
                f"{np.mean(epochs):.1f}",
            ]
        )
    headings = (
        "model",
        "hidden",
        "parameters",
        "behind embeddings",
        "examples per second",
        "epochs",
    )
    return Table("Cost", headings, rows)


def matrices_table(trials: Sequence[Trial]) -> Table | None:
    """A row a model with weighting matrices: what became of these; None without any."""
    rows = []
    for name, results in _by_model(trials).items():
        found = [result.diagnostics for result in results if result.diagnostics]
        if not found:
            continue
        rows.append(
            [
                name,
                _mean([one.mutual_information for one in found], 3),
                _mean([one.matrix_diversity for one in found], 4),
                f"{np.mean([one.scenario_accuracy for one in found]):.1%}",
                f"{1 / found[0].scenarios:.1%}",
            ]
        )
    headings = (
        "model",
        "mutual information (nats)",
        "distance of matrices",
        "scenarios told apart",
        "by a guess",
    )
    return Table("Weighting matrices", headings, rows) if rows else None


def write_json(records: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Writes records as a list."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(list(records), indent=1, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def write_csv(records: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Writes records as CSV; None is an empty cell."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def _escaped(cell: str) -> str:
    """A scenario's values may have what ends a cell in Markdown."""
    return cell.replace("|", r"\|")


def _by_scenario(
    title: str, headings: Sequence[str], rows: Sequence[list[str]]
) -> Table:
    """Says scenario and number of rows once; rows of a scenario are a section."""
    names = [row[0] for row in rows]
    ends = [i for i, name in enumerate(names) if [name] != names[i + 1 : i + 2]]
    for index, row in enumerate(rows):
        if names[index] in names[max(index - 1, 0) : index]:
            row[:2] = ["", ""]
    return Table(title, headings, rows, frozenset(ends))


def _by_model(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    results: dict[str, list[Any]] = {}
    for trial in trials:
        results.setdefault(trial.name, []).append(trial.result)
    return results


def _setting(value: Any) -> str:
    # A result that was kept has a list where a new one has a tuple.
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _mean(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.{digits}f}" if known else ""


def _spread(spread: Spread, digits: int = 4) -> str:
    if math.isnan(spread.mean):
        return ""
    text = f"{spread.mean:.{digits}f}"
    known = not math.isnan(spread.deviation)
    return f"{text} ({spread.deviation:.{digits}f})" if known else text


def _interval(interval: Interval) -> str:
    if math.isnan(interval.value):
        return ""
    text = f"{interval.value:+.4f}"
    known = not math.isnan(interval.low)
    return f"{text} [{interval.low:+.4f}, {interval.high:+.4f}]" if known else text

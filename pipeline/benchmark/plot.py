"""The differences to the baseline as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.benchmark.comparison import Line

_INCHES_A_LINE = 0.28
_MOST_INCHES = 60


def plot_gains(lines: Sequence[Line], split: str, title: str, file: Path) -> None:
    """Draws each model's gain in AUC with its interval, scenario below scenario.

    Scenarios of too few rows don't widen the axis: their intervals may end beyond it.
    Without any gain there is no picture, and no earlier one is left in its place.

    Args:
        lines: Of `compare`.
        split: Which split they are of, for the axis.
        title: Above the picture.
        file: The PNG to write.
    """
    drawn = [
        (line.scenario, line.model, line.gains.auc)
        for line in lines
        if line.gains and not math.isnan(line.gains.auc.value)
    ]
    if not drawn:
        file.unlink(missing_ok=True)
        return
    models = list(dict.fromkeys(model for _, model, _ in drawn))
    scenarios = list(dict.fromkeys(scenario for scenario, _, _ in drawn))
    height = 1.5 + _INCHES_A_LINE * (len(drawn) + len(scenarios))
    height = min(height, _MOST_INCHES)
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="0.6", linewidth=1)
    step = len(models) + 1
    for number, model in enumerate(models):
        own = {scenario: gain for scenario, of, gain in drawn if of == model}
        axes.errorbar(
            [gain.value for gain in own.values()],
            [scenarios.index(scenario) * step + number for scenario in own],
            xerr=[
                # A bootstrap's interval may lie beside the value.
                [max(gain.value - gain.low, 0) for gain in own.values()],
                [max(gain.high - gain.value, 0) for gain in own.values()],
            ],
            fmt="o",
            markersize=4,
            capsize=2,
            label=model,
        )
    middle = (len(models) - 1) / 2
    axes.set_yticks([index * step + middle for index in range(len(scenarios))])
    # Not as formulas, which names with dollars could look like.
    axes.set_yticklabels(scenarios, parse_math=False)
    axes.invert_yaxis()
    if ends := [
        end for line in lines if line.verdict != "too few" for end in _ends(line)
    ]:
        low, high = min(0, *ends), max(0, *ends)
        margin = 0.05 * (high - low) or 0.01
        axes.set_xlim(low - margin, high + margin)
    axes.set_xlabel(f"gain in {split} AUC over the baseline")
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=150)


def _ends(line: Line) -> Iterator[float]:
    """What of a line's gain the axis must reach."""
    if line.gains:
        gain = line.gains.auc
        yield from filter(math.isfinite, (gain.low, gain.value, gain.high))

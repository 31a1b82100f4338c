"""A run's outcome as a page, for whoever reads no terminal."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple, get_args

import yaml
from jinja2 import Environment, StrictUndefined

from midpg_tf.spec import DatasetSpec
from pipeline.evaluation.bootstrap import Interval, Verdict
from pipeline.evaluation.gates import BASELINE, PRODUCTION, Slice
from pipeline.evaluation.table import short
from pipeline.run import RunOutcome
from transform.summary import Summary

_TEMPLATE = "report_page.html"

_LEAST_SCALE = 1e-4
"""Where no gain is known, or all are 0, bars need a scale all the same."""


_MOST_FILES = 5
"""That are named; of more, their number is told."""

_USES = {
    "train": "training",
    "eval": "early stopping",
    "test": "the figures above, and the gates",
}


class Bar(NamedTuple):
    """An interval on a scale from -100 to 100."""

    low: float
    value: float
    high: float


class SplitCount(NamedTuple):
    """What a split has, and what it is for."""

    name: str
    rows: int
    positives: int
    scenarios: int
    use: str


def write_page(outcome: RunOutcome, spec: DatasetSpec, file: Path) -> None:
    """Writes the page: outcome, reasons, scenarios' gains, rows, settings and limits.

    It is one HTML file, which needs nothing else and loads nothing.

    Args:
        outcome: Of the run.
        spec: The data-set description that it ran with.
        file: The page; its folder is made.

    Raises:
        OSError: If it can't be written.
    """
    # Scenarios may be called anything, so what isn't the template's is escaped.
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(
        (resources.files("pipeline") / _TEMPLATE).read_text(encoding="utf-8")
    )
    slices = outcome.report.slices
    references = [name for name in (BASELINE, PRODUCTION) if name in slices[0].models]
    text = template.render(
        spec=spec,
        outcome=outcome,
        report=outcome.report,
        references=references,
        headline=_headline(outcome),
        comparison=functools.partial(_comparison, slices),
        scale=_scale(slices),
        bar=bar,
        short=short,
        files=_files(list(outcome.data.files)),
        splits=list(_splits(outcome.data)),
        settings=yaml.safe_dump(
            spec.model_dump(mode="json", by_alias=True), sort_keys=False
        ),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def bar(gain: Interval, scale: float) -> Bar | None:
    """Where an interval is drawn; None where there is none.

    Args:
        gain: The interval.
        scale: The gain at the ends; what is beyond them is drawn there.
    """
    if not all(map(math.isfinite, (gain.value, gain.low, gain.high))):
        return None
    places = (
        max(-100.0, min(100.0, 100 * end / scale))
        for end in (gain.low, gain.value, gain.high)
    )
    return Bar(*places)


def _headline(outcome: RunOutcome) -> str:
    if outcome.pushed:
        return f"version {outcome.version} was pushed"
    if outcome.refusals:
        return "the candidate was refused"
    return "passed, and nothing new to push"


def _comparison(slices: list[Slice], reference: str) -> str:
    """The gain of all rows, and how many scenarios have which verdict, in a line."""
    overall, *scenarios = slices
    named: dict[Verdict, list[str]] = {verdict: [] for verdict in get_args(Verdict)}
    for one in scenarios:
        named[one.verdict(reference)].append(one.name)
    counts = [f"{verdict} {len(names):,}" for verdict, names in named.items() if names]
    line = (
        f"Over the {reference} model: AUC {short(overall.gains[reference], 4, '+')};"
        f" scenarios: {', '.join(counts) or 'none'}"
    )
    losers = named["loses"]
    return f"{line}. It loses in {', '.join(losers)}." if losers else f"{line}."


def _files(paths: list[str]) -> str:
    """The files by name, or the first of them."""
    named = paths[:_MOST_FILES]
    rest = len(paths) - len(named)
    return ", ".join([*named, f"and {rest:,} more"] if rest else named)


def _splits(data: Summary) -> Iterator[SplitCount]:
    for name, use in _USES.items():
        counts = [count for count in data.counts if count.split == name]
        yield SplitCount(
            name,
            rows=data.rows(name),
            positives=data.rows(name, label=1),
            scenarios=len({count.scenario for count in counts}),
            use=use,
        )


def _scale(slices: list[Slice]) -> float:
    """The largest end of an interval that says something; others may be very wide."""
    ends = [*_ends(one for one in slices if one.judged), _LEAST_SCALE]
    return max(ends)


def _ends(slices: Iterator[Slice]) -> Iterator[float]:
    for one in slices:
        for gain in one.gains.values():
            yield from filter(math.isfinite, (abs(gain.low), abs(gain.high)))

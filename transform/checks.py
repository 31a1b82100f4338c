"""What data must be like for models to be trained on it, told from its summary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from midpg_tf.spec import OVERALL, SPLITS, DatasetSpec, HashSplit, TimeSplit
from transform.errors import IngestError
from transform.summary import Summary

_MAX_SCENARIOS = 10


def check_summary(spec: DatasetSpec, summary: Summary) -> None:
    """Refuses data that no model should be trained on.

    Args:
        spec: The description.
        summary: What the ingestion found.

    Raises:
        IngestError: If rows are in error, a file or a split is empty, a split has only
            one class, or no weight in one, or a scenario has too few rows in the train
            split. One line a problem.
    """
    _refuse(summary, [*_splits(spec, summary), *_scarce_scenarios(spec, summary)])


def check_rows(summary: Summary) -> None:
    """Refuses rows that nothing can be made of, however they are split.

    Args:
        summary: What the ingestion found.

    Raises:
        IngestError: If rows are in error, a file is empty, or a scenario has the name
            that reports call all rows by. One line a problem.
    """
    _refuse(summary, [])


def describe_splits(summary: Summary) -> Iterator[str]:
    """A line for each split: its rows, its share of all rows, and the positives."""
    for split in SPLITS:
        rows, positives = summary.rows(split), summary.rows(split, label=1)
        yield (
            f"split {split!r}: {_count(rows, 'row')} ({rows / summary.rows():.1%}),"
            f" {positives / rows:.2%} of them with the label 1"
        )


def uneven_splits(spec: DatasetSpec, summary: Summary) -> Iterator[str]:
    """What a split by shares missed by a factor of two or more: a line each."""
    if not isinstance(spec.data.split, TimeSplit | HashSplit):
        return
    for split in ("eval", "test"):
        asked = getattr(spec.data.split, split)
        found = summary.rows(split) / summary.rows()
        if not asked / 2 < found < asked * 2:
            yield (
                f"split {split!r}: expected {asked:.1%} of the rows, found"
                f" {found:.1%}: many rows go together; check data.split"
            )


def _refuse(summary: Summary, others: list[str]) -> None:
    # Rows in error are missing from the counts, so only they are worth reporting.
    problems = list(_issues(summary)) or [
        *_empty_files(summary),
        *_reserved_scenarios(summary),
        *others,
    ]
    if problems:
        raise IngestError("\n".join(problems))


def _issues(summary: Summary) -> Iterator[str]:
    yield from map(str, summary.issues)
    if summary.issue_count:
        shown, rows = len(summary.issues), sum(summary.files.values())
        of_rows = f"{_count(rows, 'row')} of " if rows else ""
        more = f", {shown} of them above" if shown < summary.issue_count else ""
        yield (
            f"{_count(summary.issue_count, 'problem')} in {of_rows}"
            f"{_count(len(summary.files), 'file')}{more}; correct the rows, or the"
            " description of their columns"
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _empty_files(summary: Summary) -> Iterator[str]:
    for path, rows in summary.files.items():
        if rows == 0:
            yield f"{path}: expected rows, found none; add some, or remove the file"


def _splits(spec: DatasetSpec, summary: Summary) -> Iterator[str]:
    if summary.rows() == 0 and summary.files:
        return  # each file is told to be empty
    found = ", ".join(f"{split} {summary.rows(split):,}" for split in SPLITS)
    reason = ""
    if isinstance(spec.data.split, TimeSplit):
        column = spec.data.split.column
        reason = f": rows of one moment go together, and {column!r} has too few moments"
    for split in SPLITS:
        if summary.rows(split) == 0:
            yield (
                f"split {split!r}: expected rows, found none ({found}){reason}; change"
                " data.split, or add rows"
            )
            continue
        for label in (0, 1):
            rows = summary.rows(split, label=label)
            if rows == 0:
                yield (
                    f"split {split!r}: expected both classes of the label"
                    f" {spec.label.name!r}, found {1 - label} in each of"
                    f" {summary.rows(split):,} rows; check label, or change data.split"
                )
            elif summary.weightless(split, label) == rows:
                yield (
                    f"split {split!r}: expected a weight {spec.weight!r} above 0 in"
                    f" rows {'with' if label else 'without'} a conversion, found 0 in"
                    f" each of {rows:,}; they need a weight, too, such as 1"
                )


def _reserved_scenarios(summary: Summary) -> Iterator[str]:
    if summary.rows(scenario=(OVERALL,)):
        yield (
            f"scenario {summary.fields[0]}={OVERALL}: expected another value, since"
            f" reports call all rows {OVERALL}; rename it in the rows"
        )


def _scarce_scenarios(spec: DatasetSpec, summary: Summary) -> Iterator[str]:
    least = spec.data.min_scenario_rows
    train: dict[tuple[str, ...], int] = defaultdict(int)
    for count in summary.counts:
        train[count.scenario] += count.rows if count.split == "train" else 0
    scarce = [(rows, scenario) for scenario, rows in train.items() if rows < least]
    for rows, scenario in sorted(scarce)[:_MAX_SCENARIOS]:
        yield (
            f"scenario {_name(summary, scenario)}: expected at least {least:,} rows in"
            f" the train split, found {rows:,}; add rows, merge scenarios, or lower"
            " data.min_scenario_rows"
        )
    if len(scarce) > _MAX_SCENARIOS:
        yield f"and {len(scarce) - _MAX_SCENARIOS:,} more scenarios with too few rows"


def _name(summary: Summary, scenario: tuple[str, ...]) -> str:
    return ", ".join(map("=".join, zip(summary.fields, scenario, strict=True)))

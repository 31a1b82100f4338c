"""What an ingestion found: rows by split, scenario and label, and rows in error."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Self

import apache_beam as beam
import tensorflow as tf
from pydantic import BaseModel, ConfigDict

from midpg_tf.spec import RowError
from transform.splits import Moment

SUMMARY_FILE = "summary.json"

_MAX_ISSUES = 10
_MAX_ALIKE = 3
_DIGEST_SIZE = 16


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowIssue(_Record):
    """What is wrong with a row, or with a file.

    Attributes:
        file: The file.
        row: The row's number; None if the whole file is concerned. In CSV the header
            is row 1, as in a spreadsheet, and blank lines don't count; elsewhere the
            first row is row 1.
        column: The column; None if the whole row is concerned.
        problem: What was expected and what was found.
    """

    file: str
    row: int | None = None
    column: str | None = None
    problem: str

    @classmethod
    def of(cls, file: str, row: int, error: RowError) -> Self:
        """What a row error says, and where."""
        return cls(file=file, row=row, column=error.column, problem=error.problem)

    @property
    def kind(self) -> tuple[str, str]:
        """What problems alike share: the column, or else the file, and the expected."""
        return self.column or self.file, self.problem.partition(", found")[0]

    def __str__(self) -> str:
        row = f", row {self.row}" if self.row is not None else ""
        column = f", column {self.column!r}" if self.column is not None else ""
        return f"{self.file}{row}{column}: {self.problem}"


class RowCount(_Record):
    """How many rows of a split have a scenario and a label.

    Attributes:
        split: `train`, `eval` or `test`.
        scenario: The value of each field of the scenario.
        label: 0 or 1.
        rows: Number of rows.
        weightless: How many of them have a weight of 0.
    """

    split: str
    scenario: tuple[str, ...]
    label: int
    rows: int
    weightless: int = 0


class Summary(_Record):
    """What an ingestion found.

    Attributes:
        fields: The fields of the scenario.
        counts: Rows by split, scenario and label, sorted.
        files: Rows by file, rows in error included.
        issues: The first few problems, by file and row; of those alike just three.
        issue_count: Number of problems: rows in error, and unreadable files.
        test_start: The first moment of the test split; None unless rows are split by
            time.
        contents: A digest of each split's rows, the same in whatever order they are.
        unkeyed: Number of rows without a value in any of the columns whose hash splits
            them: their features do.
    """

    fields: tuple[str, ...]
    counts: tuple[RowCount, ...]
    files: dict[str, int]
    issues: tuple[RowIssue, ...] = ()
    issue_count: int = 0
    test_start: Moment | None = None
    contents: dict[str, str] = {}
    unkeyed: int = 0

    def rows(
        self,
        split: str | None = None,
        scenario: tuple[str, ...] | None = None,
        label: int | None = None,
    ) -> int:
        """Number of rows in the examples.

        Args:
            split: Count this split alone. Default: all.
            scenario: Count this scenario alone. Default: all.
            label: Count this label alone. Default: both.
        """
        return sum(
            count.rows
            for count in self.counts
            if split in (None, count.split)
            and scenario in (None, count.scenario)
            and label in (None, count.label)
        )

    def weightless(self, split: str, label: int) -> int:
        """Number of rows of a split and a label that have a weight of 0."""
        return sum(
            count.weightless
            for count in self.counts
            if (count.split, count.label) == (split, label)
        )


class Tally:
    """A summary in the making, of some of the rows."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, tuple[str, ...], int]] = Counter()
        self.weightless: Counter[tuple[str, tuple[str, ...], int]] = Counter()
        self.files: Counter[str] = Counter()
        self.contents: Counter[str] = Counter()
        self.issue_count = 0
        self.unkeyed = 0
        self._issues: list[RowIssue] = []

    def add_issue(self, issue: RowIssue) -> None:
        """Counts a problem, and keeps it if it is among the first ones."""
        self.issue_count += 1
        self._keep([issue])

    def add_record(self, split: str, record: bytes) -> None:
        """Takes the content of a row into the split's."""
        digest = hashlib.blake2b(record, digest_size=_DIGEST_SIZE).digest()
        # A sum has no order, as the records of an ingestion have none.
        self.contents[split] += int.from_bytes(digest)

    def add_file(self, path: str, rows: int) -> None:
        """Counts rows of a file, also if there are none."""
        self.files[path] += rows

    def update(self, other: Tally) -> None:
        """Adds what another tally counted."""
        self.counts.update(other.counts)
        self.weightless.update(other.weightless)
        self.files.update(other.files)
        self.contents.update(other.contents)
        self.issue_count += other.issue_count
        self.unkeyed += other.unkeyed
        self._keep(other._issues)

    def summary(self, fields: tuple[str, ...]) -> Summary:
        """The finished summary."""
        return Summary(
            fields=fields,
            counts=tuple(
                RowCount(
                    split=key[0],
                    scenario=key[1],
                    label=key[2],
                    rows=rows,
                    weightless=self.weightless[key],
                )
                for key, rows in sorted(self.counts.items())
            ),
            files=dict(sorted(self.files.items())),
            issues=tuple(self._issues),
            issue_count=self.issue_count,
            contents={
                split: (total % 256**_DIGEST_SIZE).to_bytes(_DIGEST_SIZE).hex()
                for split, total in sorted(self.contents.items())
            },
            unkeyed=self.unkeyed,
        )

    def _keep(self, issues: list[RowIssue]) -> None:
        alike: Counter[tuple[str, str]] = Counter()
        kept = []
        for issue in sorted(
            [*self._issues, *issues],
            key=lambda issue: (issue.file, issue.row or 0, issue.column or ""),
        ):
            alike[issue.kind] += 1
            if alike[issue.kind] <= _MAX_ALIKE:
                kept.append(issue)
        self._issues = kept[:_MAX_ISSUES]


class Summarize(beam.CombineFn):
    """Adds tallies up to one summary.

    Args:
        fields: The fields of the scenario.
    """

    def __init__(self, fields: tuple[str, ...]) -> None:
        self._fields = fields

    def create_accumulator(self) -> Tally:
        return Tally()

    def add_input(self, total: Tally, tally: Tally) -> Tally:
        total.update(tally)
        return total

    def merge_accumulators(self, totals: Iterable[Tally]) -> Tally:
        total = Tally()
        for part in totals:
            total.update(part)
        return total

    def extract_output(self, total: Tally) -> Summary:
        return total.summary(self._fields)


def write_summary(summary: Summary, folder: str) -> None:
    """Writes a summary to the file `SUMMARY_FILE` of a folder, made if need be."""
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(f"{folder}/{SUMMARY_FILE}", "w") as file:
        file.write(summary.model_dump_json(indent=2))


def read_summary(folder: str) -> Summary:
    """Reads what `write_summary` wrote."""
    with tf.io.gfile.GFile(f"{folder}/{SUMMARY_FILE}", "r") as file:
        return Summary.model_validate_json(file.read())

"""How rows and problems are counted, and the counts kept."""

from __future__ import annotations

from transform.splits import Moment
from transform.summary import (
    SUMMARY_FILE,
    RowIssue,
    Summarize,
    Tally,
    read_summary,
    write_summary,
)

FIELDS = ("age_group", "gender")
YOUNG = ("18-24", "F")
OLD = ("65+", "M")
COUNTS = {
    (split, YOUNG, label): 10 for split in ("train", "eval", "test") for label in (0, 1)
}


def tally(counts, files=None):
    result = Tally()
    result.counts.update(counts)
    for path, rows in (files or {"a.csv": 100}).items():
        result.add_file(path, rows)
    return result


def test_rows_are_counted_by_any_key():
    summary = tally(COUNTS | {("train", OLD, 1): 5}).summary(FIELDS)
    assert summary.rows() == 65
    assert summary.rows("train") == 25
    assert summary.rows("train", OLD) == 5
    assert summary.rows(label=1) == 35


def contents_of(*batches):
    """What the contents are of batches of (split, record)."""
    combine = Summarize(FIELDS)
    total = combine.create_accumulator()
    for batch in batches:
        part = Tally()
        for split, record in batch:
            part.add_record(split, record)
        total = combine.add_input(total, part)
    return combine.extract_output(total).contents


def test_contents_are_those_of_the_rows_in_any_order():
    a, b, c = ("train", b"a"), ("train", b"b"), ("eval", b"c")
    found = contents_of([a, b, c])
    assert set(found) == {"train", "eval"}
    assert contents_of([c], [b], [a]) == found
    for others in ([a, a, c], [a, b, b, c], [a, c], [a, ("eval", b"b"), c]):
        assert contents_of(others)["train"] != found["train"]
    assert contents_of([a, a])["train"] != contents_of([b, b])["train"]
    assert contents_of([a] * 1000)["train"] != contents_of([a])["train"]


def test_tallies_add_up():
    combine = Summarize(FIELDS)
    parts = []
    for file in ("b.csv", "a.csv"):
        part = tally(COUNTS, {file: 60})
        part.weightless["eval", YOUNG, 0] = 1
        for row in range(20, 0, -1):
            part.add_issue(RowIssue(file=file, row=row, problem="bad"))
        parts.append(combine.add_input(combine.create_accumulator(), part))
    summary = combine.extract_output(combine.merge_accumulators(parts))
    assert summary.rows() == 120
    assert summary.weightless("eval", 0) == 2
    assert list(summary.files.items()) == [("a.csv", 60), ("b.csv", 60)]
    assert summary.issue_count == 40
    # Of problems alike, the first three.
    assert [(issue.file, issue.row) for issue in summary.issues] == [
        (file, row) for file in ("a.csv", "b.csv") for row in (1, 2, 3)
    ]


def test_written_and_read_again(tmp_path):
    start = Moment(True, 1706702400.123456)
    summary = tally(COUNTS).summary(FIELDS).model_copy(update={"test_start": start})
    write_summary(summary, str(tmp_path / "new"))
    assert (tmp_path / "new" / SUMMARY_FILE).exists()
    assert read_summary(str(tmp_path / "new")) == summary

"""Which data is refused by its summary, and what is told of its splits."""

from __future__ import annotations

import pytest

from transform.checks import check_summary, describe_splits, uneven_splits
from transform.errors import IngestError
from transform.summary import RowIssue, Tally

YOUNG = ("18-24", "F")
OLD = ("65+", "M")


def tally(counts, files=None):
    result = Tally()
    result.counts.update(counts)
    for path, rows in (files or {"a.csv": 100}).items():
        result.add_file(path, rows)
    return result


def good_counts():
    return {
        (split, YOUNG, label): 10
        for split in ("train", "eval", "test")
        for label in (0, 1)
    }


def message(spec, summary):
    with pytest.raises(IngestError) as caught:
        check_summary(spec, summary)
    return str(caught.value)


def summary_of(counts, files=None):
    return tally(counts, files).summary(("age_group", "gender"))


def test_good_data_passes(make_spec):
    check_summary(make_spec(min_scenario_rows=20), summary_of(good_counts()))


def test_splits_are_described():
    counts = {("train", YOUNG, 1): 10, ("train", YOUNG, 0): 1190} | {
        (split, YOUNG, label): 100 for split in ("eval", "test") for label in (0, 1)
    }
    assert list(describe_splits(summary_of(counts))) == [
        "split 'train': 1,200 rows (75.0%), 0.83% of them with the label 1",
        "split 'eval': 200 rows (12.5%), 50.00% of them with the label 1",
        "split 'test': 200 rows (12.5%), 50.00% of them with the label 1",
    ]


def test_splits_that_miss_their_share_are_told(make_spec):
    split = {"by": "hash", "columns": ["gender"], "eval": 0.1, "test": 0.1}
    counts = {("train", YOUNG, 1): 60, ("eval", YOUNG, 1): 30, ("test", YOUNG, 1): 10}
    summary = summary_of(counts)
    assert list(uneven_splits(make_spec(split=split), summary)) == [
        "split 'eval': expected 10.0% of the rows, found 30.0%: many rows go together;"
        " check data.split"
    ]
    by_column = make_spec(split={"by": "column", "column": "part"})
    assert not list(uneven_splits(by_column, summary))
    counts = {("train", YOUNG, 1): 86, ("eval", YOUNG, 1): 10, ("test", YOUNG, 1): 4}
    (line,) = uneven_splits(make_spec(split=split), summary_of(counts))
    assert line.startswith("split 'test': expected 10.0% of the rows, found 4.0%")


def test_rows_in_error_come_first_and_are_counted(make_spec):
    part = tally({}, {"a.csv": 1000})
    for row in range(1, 13):
        part.add_issue(RowIssue(file="a.csv", row=row, column=f"c{row}", problem="bad"))
    lines = message(make_spec(), part.summary(())).splitlines()
    assert len(lines) == 11
    assert lines[0] == "a.csv, row 1, column 'c1': bad"
    assert lines[-1].startswith(
        "12 problems in 1,000 rows of 1 file, 10 of them above;"
    )


def test_problems_alike_leave_room_for_others(make_spec):
    parts = [tally({}, {"a.csv": 500}), tally({}, {"a.csv": 500})]
    for row in range(1, 1001):
        problem = f"expected a finite number, found 'n{row}'"
        issue = RowIssue(file="a.csv", row=row, column="age", problem=problem)
        parts[row % 2].add_issue(issue)
    other = RowIssue(file="a.csv", row=999, column="price", problem=problem)
    parts[0].add_issue(other)
    parts[0].update(parts[1])
    summary = parts[0].summary(())
    assert [(issue.row, issue.column) for issue in summary.issues] == [
        (1, "age"),
        (2, "age"),
        (3, "age"),
        (999, "price"),
    ]
    assert (
        message(make_spec(), summary)
        .splitlines()[-1]
        .startswith(
            "1,001 problems in 1,000 rows of 1 file, 4 of them above; correct the rows"
        )
    )


def test_files_that_cannot_be_read_are_told_each(make_spec):
    files = {f"{name}.csv": 0 for name in "abcde"}
    part = tally({}, files)
    for file in files:
        part.add_issue(RowIssue(file=file, row=2, problem="expected UTF-8"))
    lines = message(make_spec(), part.summary(())).splitlines()
    assert lines[:-1] == [f"{file}, row 2: expected UTF-8" for file in files]
    assert lines[-1].startswith("5 problems in 5 files; correct")


def test_no_rows_and_empty_files(make_spec):
    told = ": expected rows, found none; add some, or remove the file"
    assert message(make_spec(), summary_of({}, {"a.csv": 0})) == "a.csv" + told
    summary = summary_of(good_counts(), {"a.csv": 60, "b.csv": 0})
    assert message(make_spec(), summary) == "b.csv" + told


def test_empty_split(make_spec):
    counts = {k: v for k, v in good_counts().items() if k[0] != "eval"}
    assert message(make_spec(), summary_of(counts)) == (
        "split 'eval': expected rows, found none (train 20, eval 0, test 20); change"
        " data.split, or add rows"
    )


def test_a_time_split_of_too_few_moments(make_spec):
    counts = {k: v for k, v in good_counts().items() if k[0] != "train"}
    spec = make_spec(split={"by": "time", "column": "day"})
    assert message(spec, summary_of(counts)) == (
        "split 'train': expected rows, found none (train 0, eval 20, test 20): rows of"
        " one moment go together, and 'day' has too few moments; change data.split, or"
        " add rows"
    )


def test_one_class(make_spec):
    counts = good_counts()
    del counts["eval", YOUNG, 0], counts["test", YOUNG, 1]
    assert message(make_spec(), summary_of(counts)).splitlines() == [
        f"split '{split}': expected both classes of the label 'clicked', found {label}"
        " in each of 10 rows; check label, or change data.split"
        for split, label in (("eval", 1), ("test", 0))
    ]


def test_a_class_without_weight(make_spec):
    spec = make_spec().model_copy(update={"weight": "value"})
    part = tally(good_counts() | {("eval", OLD, 0): 2})
    part.weightless.update({("train", YOUNG, 0): 10, ("test", YOUNG, 1): 10})
    part.weightless["eval", YOUNG, 0] = 10
    # In the eval split, the two others without a conversion have a weight.
    assert message(spec, part.summary(("age_group", "gender"))).splitlines() == [
        f"split '{split}': expected a weight 'value' above 0 in rows {which} a"
        " conversion, found 0 in each of 10; they need a weight, too, such as 1"
        for split, which in (("train", "without"), ("test", "with"))
    ]


def test_scarce_scenario(make_spec):
    counts = good_counts() | {("train", OLD, 1): 5, ("test", OLD, 1): 50}
    assert message(make_spec(min_scenario_rows=6), summary_of(counts)) == (
        "scenario age_group=65+, gender=M: expected at least 6 rows in the train split,"
        " found 5; add rows, merge scenarios, or lower data.min_scenario_rows"
    )


def test_scenario_that_is_not_in_the_train_split(make_spec):
    counts = good_counts() | {("test", OLD, 1): 50}
    assert "gender=M: expected at least 1 rows" in message(
        make_spec(min_scenario_rows=1), summary_of(counts)
    )
    # A new market starts without rows to train on.
    check_summary(make_spec(), summary_of(counts))


def test_scenario_with_the_name_of_all_rows(make_spec):
    counts = {
        (split, ("overall",), label): rows
        for (split, _, label), rows in good_counts().items()
    }
    assert message(make_spec(), tally(counts).summary(("channel",))) == (
        "scenario channel=overall: expected another value, since reports call all rows"
        " overall; rename it in the rows"
    )


def test_many_scarce_scenarios(make_spec):
    counts = good_counts() | {("eval", (str(i), "F"), 1): 1 for i in range(12)}
    spec = make_spec(min_scenario_rows=1)
    lines = message(spec, summary_of(counts)).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "and 2 more scenarios with too few rows"

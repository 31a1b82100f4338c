from __future__ import annotations

import datetime
import hashlib
import math
import time
from collections import Counter

import pytest

from midpg_tf.spec import RowError
from midpg_tf.spec.source import ColumnSplit, HashSplit, TimeSplit
from transform.splits import (
    Boundaries,
    FindBoundaries,
    Moment,
    assigner,
    moment,
)


def boundaries(values, **shares):
    combine = FindBoundaries(TimeSplit(by="time", column="t", **shares))
    parts = [
        combine.add_input(combine.create_accumulator(), [moment("t", value)])
        for value in values
    ]
    return combine.extract_output(combine.merge_accumulators(parts))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, Moment(False, 3.0)),
        ("3.5", Moment(False, 3.5)),
        ("20240131", Moment(False, 20240131.0)),
        ("1970-01-02", Moment(True, 86400.0)),
        ("1970-01-01T01:00:00Z", Moment(True, 3600.0)),
        ("1970-01-01 01:00:00+01:00", Moment(True, 0.0)),
        (datetime.date(1970, 1, 2), Moment(True, 86400.0)),
        (datetime.datetime(1970, 1, 1, 0, 1), Moment(True, 60.0)),
    ],
)
def test_moments(value, expected):
    assert moment("t", value) == expected


def test_moments_are_told_as_they_were_written():
    assert str(moment("t", "2024-01-31T12:00")) == "2024-01-31T12:00:00+00:00"
    assert str(moment("t", "20240131")) == "20240131"
    assert str(moment("t", 1706702400123)) == "1706702400123"


@pytest.mark.parametrize("value", ["", "soon", None, float("nan"), "inf", []])
def test_no_moments(value):
    with pytest.raises(RowError, match=r"'t': expected a number or an ISO 8601 date"):
        moment("t", value)


def test_boundaries_cut_off_the_shares():
    found = boundaries(range(19, -1, -1), eval=0.2, test=0.1)
    assert found == Boundaries(False, eval=14.0, test=18.0)
    assign = assigner(TimeSplit(by="time", column="t"), found)
    splits = [assign({"t": i}, b"") for i in range(20)]
    assert splits == ["train"] * 14 + ["eval"] * 4 + ["test"] * 2


def test_few_rows_still_give_each_split_one():
    found = boundaries(["2024-01-01", "2024-01-02", "2024-01-03"])
    assign = assigner(TimeSplit(by="time", column="t"), found)
    splits = [assign({"t": f"2024-01-0{i}"}, b"") for i in (1, 2, 3)]
    assert splits == ["train", "eval", "test"]


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        # Five days: a tenth of the rows from their end on is a part of the fifth.
        ([day for day in range(5) for _ in range(20)], Boundaries(False, 3.0, 4.0)),
        # A sale on the last of many.
        ([*range(70), *[99] * 30], Boundaries(False, 69.0, 99.0)),
        # Nothing comes before.
        ([7] * 20, Boundaries(False, 7.0, 7.0)),
    ],
)
def test_a_moment_of_many_rows_leaves_rows_to_the_eval_split(moments, expected):
    assert boundaries(moments) == expected


def test_the_rarer_kind_of_moment_is_an_error():
    found = boundaries(["2024-01-01", "2024-01-02", 5])
    assign = assigner(TimeSplit(by="time", column="t"), found)
    with pytest.raises(RowError, match="expected a date as in most rows, found '5'"):
        assign({"t": "5"}, b"")


def test_no_boundaries_without_moments():
    assert boundaries([]) is None


def test_hash_is_the_same_in_every_process_and_for_text():
    # Literals from another process: what they pin must never change, or the rows of
    # a data set would move from split to split with an update.
    assign = assigner(HashSplit(by="hash", columns=("user",), eval=0.3, test=0.3), None)
    splits = [assign({"user": user}, b"") for user in range(8)]
    assert splits == [
        "train",
        "eval",
        "train",
        "eval",
        "train",
        "train",
        "train",
        "train",
    ]
    assert [assign({"user": str(user)}, b"other") for user in range(8)] == splits


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (7.5, "7.5"),
        (True, "true"),
        (False, "false"),
        ("größe".encode(), "größe"),
        (datetime.date(2024, 1, 31), "2024-01-31"),
    ],
)
def test_a_value_goes_where_its_text_in_csv_goes(value, text):
    for seed in range(20):
        split = HashSplit(by="hash", columns=("a",), eval=0.3, test=0.3, seed=seed)
        assign = assigner(split, None)
        assert assign({"a": value}, b"") == assign({"a": text}, b"")


def test_hash_of_bytes_that_are_no_text():
    split = HashSplit(by="hash", columns=("a",), eval=0.3, test=0.3)
    assign = assigner(split, None)
    found = {assign({"a": bytes([200 + i, 255])}, b"") for i in range(20)}
    assert found == {"train", "eval", "test"}


def test_hash_of_the_whole_row_holds_the_shares():
    assign = assigner(HashSplit(by="hash", eval=0.1, test=0.2), None)
    counts = Counter(assign({}, str(i).encode()) for i in range(10_000))
    assert counts["eval"] == pytest.approx(1000, abs=100)
    assert counts["test"] == pytest.approx(2000, abs=130)
    assert assign({}, b"x") == assign({"ignored": 1}, b"x")


def test_another_seed_draws_another_split_of_the_same_shares():
    def splits(seed):
        assign = assigner(HashSplit(by="hash", eval=0.1, test=0.2, seed=seed), None)
        return [assign({}, str(i).encode()) for i in range(10_000)]

    first, second = splits(1), splits(2)
    assert splits(1) == first
    assert second.count("test") == pytest.approx(2000, abs=130)
    # Independent draws: 0.2 ** 2 of the rows are in both test splits.
    both = sum(a == b == "test" for a, b in zip(first, second, strict=True))
    assert both == pytest.approx(400, abs=70)


def test_the_default_seed_is_the_hash_without_salt():
    digest = hashlib.blake2b(b"row", digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    for test, expected in ((share + 1e-6, "test"), (share - 1e-6, "eval")):
        split = HashSplit(by="hash", eval=2e-6, test=test)
        assert assigner(split, None)({}, b"row") == expected


def test_hash_columns_do_not_run_into_each_other():
    assign = assigner(
        HashSplit(by="hash", columns=("a", "b"), eval=0.49, test=0.49), None
    )
    pairs = [("1", "11"), ("11", "1"), ("111", "")]
    rows = [{"a": a + c, "b": b + c} for c in map(str, range(100)) for a, b in pairs]
    splits = [assign(row, b"") for row in rows]
    assert any(len(set(splits[i : i + 3])) > 1 for i in range(0, 300, 3))


def test_rows_without_a_value_go_each_their_own_way():
    assign = assigner(
        HashSplit(by="hash", columns=("a", "b"), eval=0.3, test=0.3), None
    )
    guests = [assign({"a": "", "b": ""}, str(i).encode()) for i in range(1000)]
    assert guests.count("test") == pytest.approx(300, abs=75)
    # In tf.Examples, a column without a value may not be there; pandas writes NaN.
    for row in ({"b": ""}, {"a": None, "b": math.nan}):
        assert [assign(row, str(i).encode()) for i in range(1000)] == guests
    known = {assign({"a": "", "b": "x"}, str(i).encode()) for i in range(100)}
    assert len(known) == 1


def test_column():
    assign = assigner(ColumnSplit(by="column", column="part"), None)
    assert assign({"part": "eval"}, b"") == "eval"
    with pytest.raises(RowError, match=r"'part': expected one of .* found 'valid'"):
        assign({"part": "valid"}, b"")


@pytest.fixture
def new_york(monkeypatch):
    """A machine elsewhere."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def test_moments_are_utc_wherever_they_are_read(new_york):
    assert moment("t", "1970-01-02") == Moment(is_date=True, value=86400.0)

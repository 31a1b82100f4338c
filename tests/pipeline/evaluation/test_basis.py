"""Which changes keep an earlier model from being judged on a run's test rows."""

from __future__ import annotations

import pytest

from midpg_tf.spec import DatasetSpec
from pipeline.evaluation.basis import Basis
from transform.splits import Moment
from transform.summary import RowCount, Summary

HASH = {"by": "hash"}
BY_USER = {"by": "hash", "columns": ["user"]}
BY_TIME = {"by": "time", "column": "t"}
NEW_FEATURE = {"price": {"kind": "numeric"}}
RULE = {"name": "bought", "from": {"column": "rating", "greater_than": 3}}


def basis(split, *, features=None, test_start=None, unkeyed=0, **changes):
    content = {
        "name": "shop",
        "data": {"format": "csv", "path": "rows.csv", "split": split},
        "label": {"name": "bought"},
        "scenario": ["channel"],
        "features": {
            "channel": {"kind": "categorical"},
            "age": {"kind": "numeric"},
            **(features or {}),
        },
    }
    spec = DatasetSpec.model_validate(content | changes)
    summary = Summary(
        fields=("channel",),
        counts=[RowCount(split="test", scenario=("web",), label=0, rows=100)],
        files={},
        test_start=test_start,
        unkeyed=unkeyed,
    )
    return Basis.of(spec, summary)


def obstacles(earlier, later):
    """As the gate learns of them: from a note of the earlier basis."""
    return list(later.obstacles(Basis.from_json(earlier.to_json())))


@pytest.mark.parametrize("split", [HASH, HASH | {"seed": 2**64 - 1}, BY_USER])
def test_no_change_is_no_obstacle(split):
    first = basis(split, label=RULE, weight="value", features=NEW_FEATURE)
    assert obstacles(first, first) == []


@pytest.mark.parametrize(
    ("split", "changes", "is_other"),
    [
        (HASH, {"features": NEW_FEATURE}, True),
        (HASH, {"features": {"age": {"kind": "numeric", "default": 1}}}, True),
        (HASH, {"features": {"age": {"kind": "numeric", "transform": "log"}}}, False),
        (HASH, {"split": HASH | {"seed": 1}}, True),
        (HASH, {"split": HASH | {"test": 0.2}}, True),
        # Rows that were not tested on still are no test rows.
        (HASH, {"split": HASH | {"eval": 0.2}}, False),
        (HASH, {"split": BY_USER}, True),
        (BY_USER, {"features": NEW_FEATURE}, False),
        (BY_USER, {"split": {"by": "hash", "columns": ["item"]}}, True),
        (BY_USER, {"split": BY_TIME}, True),
        (BY_TIME, {"split": BY_TIME | {"column": "other"}}, True),
        # It depends on where the test split starts.
        (BY_TIME, {"split": BY_TIME | {"eval": 0.2, "test": 0.3}}, False),
    ],
)
def test_what_makes_other_rows_the_test_split(split, changes, is_other):
    found = obstacles(basis(split), basis(**{"split": split} | changes))
    assert len(found) == is_other
    assert all("trained on test rows of now" in one for one in found)


def test_features_that_split_the_rows_are_named():
    (found,) = obstacles(basis(HASH), basis(HASH, features=NEW_FEATURE))
    assert found.startswith(
        "it was trained with other features, which split the rows that have no value in"
        " data.split.columns, so that it may have been trained on test rows"
    )


@pytest.mark.parametrize(
    ("before", "after", "is_obstacle"),
    # A hundredth of the rows isn't worth doing without a comparison.
    [(3, 2, True), (3, 1, False), (3, 0, False), (1, 2, False)],
)
def test_features_split_the_rows_of_guests(before, after, is_obstacle):
    first = basis(BY_USER, unkeyed=before)
    assert obstacles(first, basis(BY_USER, unkeyed=after)) == []
    second = basis(BY_USER, unkeyed=after, features=NEW_FEATURE)
    assert len(obstacles(first, second)) == is_obstacle


DAY = 86400.0


@pytest.mark.parametrize(
    ("earlier", "later", "is_known"),
    [
        # The same rows, and newer ones each week.
        (Moment(True, 7 * DAY), Moment(True, 7 * DAY), False),
        (Moment(True, 7 * DAY), Moment(True, 14 * DAY), False),
        # Rows of an earlier time were added, or the newest withdrawn.
        (Moment(True, 7 * DAY), Moment(True, 7 * DAY - 0.5), True),
        # The column has another kind of moment.
        (Moment(True, 7 * DAY), Moment(False, 20260101), True),
        (Moment(False, 20260101), Moment(True, 7 * DAY), True),
    ],
)
def test_rows_before_an_earlier_test_split_may_be_known(earlier, later, is_known):
    first, second = (basis(BY_TIME, test_start=start) for start in (earlier, later))
    assert len(obstacles(first, second)) == is_known


def test_both_starts_of_the_test_split_are_told():
    first = basis(BY_TIME, test_start=Moment(True, 8 * DAY))
    assert obstacles(first, basis(BY_TIME, test_start=Moment(True, DAY))) == [
        "test rows start at 1970-01-02T00:00:00+00:00, and when it was trained, they"
        " started at 1970-01-09T00:00:00+00:00, so that it may have been trained on"
        " test rows of now"
    ]


@pytest.mark.parametrize(
    ("earlier", "later", "reason"),
    [
        (
            {"label": RULE},
            {},
            'it was trained for another label, {"name":"bought","from":{"column":'
            '"rating","greater_than":3.0}}',
        ),
        (
            {},
            {"label": RULE | {"from": {"column": "rating", "greater_than": 4}}},
            'it was trained for another label, {"name":"bought"}',
        ),
        ({"weight": "value"}, {}, "it was trained with another weight, value"),
        ({}, {"weight": "value"}, "it was trained with another weight, none"),
    ],
)
def test_another_label_or_weight(earlier, later, reason):
    assert obstacles(basis(BY_USER, **earlier), basis(BY_USER, **later)) == [reason]

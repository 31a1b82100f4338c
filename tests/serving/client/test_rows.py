"""Dictionaries and DataFrames as tf.Examples, and errors that say where."""

import datetime
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from midpg_tf.spec import RowError
from serving.client.rows import RequestRowError, RowEncoder, RowSource


@pytest.fixture
def encoder(spec):
    return RowEncoder(spec)


def values(example):
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        for name, feature in example.features.feature.items()
    }


def whole(encoder, rows):
    source = RowSource(rows, encoder.columns)
    return [values(e) for e in encoder.whole(source, list(enumerate(source)))]


def split(encoder, rows, context):
    source = RowSource(rows, encoder.columns)
    shared, own = encoder.split(source, list(enumerate(source)), context)
    return values(shared), [values(example) for example in own]


def test_a_frame_gives_what_dictionaries_give(encoder):
    rows = [
        {"kind": "a", "x": 1.5, "tags": ["new", "sale"], "more": 1},
        {"kind": "b", "x": 2.0, "tags": [], "more": 2},
    ]

    frame = pd.DataFrame(rows, index=["u", "v"])

    assert whole(encoder, frame) == whole(encoder, rows)
    assert whole(encoder, frame)[0] == {
        "kind": [b"a"],
        "x": [1.5],
        "tags": [b"new", b"sale"],
    }


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_what_is_missing_in_a_frame_is_an_empty_cell(encoder, missing):
    frame = pd.DataFrame(
        {
            "kind": ["a", missing],
            "x": pd.Series([1, missing], dtype=object),
            "tags": [["new"], missing],
        }
    )

    # -1 is what the description says for an empty number.
    assert whole(encoder, frame)[1] == {"kind": [b""], "x": [-1.0], "tags": []}


@pytest.mark.parametrize("null", [None, pd.NA, pd.NaT])
def test_what_is_missing_in_a_dictionary_is_an_empty_cell(encoder, null):
    row = {"kind": null, "x": null, "tags": null}
    empty = {"kind": [b""], "x": [-1.0], "tags": []}

    assert whole(encoder, [row]) == [empty]
    assert split(encoder, [{"x": null, "tags": null}], {"kind": null}) == (
        {"kind": [b""]},
        [{"x": [-1.0], "tags": []}],
    )


@pytest.mark.parametrize("dtype", ["category", "string", "Int64", "int8"])
def test_types_of_columns(encoder, dtype):
    kinds = [7, 8] if "nt" in dtype else ["7", "8"]
    frame = pd.DataFrame({"kind": pd.Series(kinds, dtype=dtype)})
    frame["x"] = np.array([1, 2], np.float32)
    frame["tags"] = "new|sale"

    assert [row["kind"] for row in whole(encoder, frame)] == [[b"7"], [b"8"]]


def test_flags(encoder):
    rows = [{"kind": flag, "x": 1, "tags": ""} for flag in (True, False)]

    assert [row["kind"] for row in whole(encoder, rows)] == [[b"true"], [b"false"]]
    assert whole(encoder, pd.DataFrame(rows)) == whole(encoder, rows)


def test_long_frames(encoder):
    frame = pd.DataFrame({"kind": "a", "x": range(2500), "tags": ""})

    assert [row["x"] for row in whole(encoder, frame)] == [[i] for i in range(2500)]


def test_a_column_twice(encoder):
    frame = pd.DataFrame([["a", 1, 2, ""]], columns=["kind", "x", "x", "tags"])

    with pytest.raises(RequestRowError) as caught:
        whole(encoder, frame)
    assert str(caught.value) == (
        "rows.iloc[0]: column 'x': expected this column once in the DataFrame, found"
        " it 2 times"
    )
    assert caught.value.index == 0


GOOD = {"kind": "a", "x": 1, "tags": ""}


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"x": "many"}, "column 'x': expected a finite number, found 'many'"),
        (
            {"kind": datetime.datetime(2024, 5, 1)},
            "column 'kind': expected text or an integer, found",
        ),
        ({"kind": "\ud800"}, r"column 'kind': expected Unicode text, found '\ud800'"),
        (
            {"x": np.array([1.0, 2.0])},
            "column 'x': expected a finite number, found array([1., 2.])",
        ),
        (
            {"tags": {"new": 1}},
            "column 'tags': expected a list, or text with '|', found {'new': 1}",
        ),
    ],
)
def test_an_error_says_which_row_and_which_feature(encoder, bad, problem):
    rows = [GOOD, GOOD, GOOD | bad]

    for given, where in ((rows, "rows[2]"), (pd.DataFrame(rows), "rows.iloc[2]")):
        with pytest.raises(RequestRowError) as caught:
            whole(encoder, given)
        assert str(caught.value).startswith(f"{where}: {problem}")
        assert caught.value.index == 2
        assert caught.value.column == next(iter(bad))


@pytest.mark.parametrize(
    ("index", "name", "where"),
    [(2, "rows.iloc", "rows.iloc[2]"), (None, "rows", "context")],
)
def test_an_error_goes_from_process_to_process(index, name, where):
    error = RequestRowError(index, RowError("x", "expected 1, found 2"), name)

    found = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert str(found) == str(error) == f"{where}: column 'x': expected 1, found 2"
    assert (found.index, found.column) == (index, "x")
    assert found.problem == "expected 1, found 2"


def test_a_missing_column_names_the_expected_ones(encoder):
    message = (
        r"\[0\]: column 'x': expected the columns kind, x, tags;"
        " found kind, price, tags$"
    )
    row = {"kind": "a", "price": 1, "tags": ""}
    with pytest.raises(RequestRowError, match="^rows" + message):
        whole(encoder, [row])
    with pytest.raises(RequestRowError, match="^rows.iloc" + message):
        whole(encoder, pd.DataFrame([row]))


@pytest.mark.parametrize("rows", [GOOD, "rows.csv", 7])
def test_no_rows_at_all(encoder, rows):
    with pytest.raises(TypeError, match="expected an iterable of dictionaries"):
        RowSource(rows, encoder.columns)


def test_a_row_that_is_none(encoder):
    with pytest.raises(TypeError, match=r"rows\[1\]: expected a dictionary .* 'a'"):
        whole(encoder, [GOOD, "a"])


def test_the_context_has_what_no_row_has(encoder):
    assert split(encoder, [{"x": 1}, {"x": 2}], {"kind": "a", "tags": "n|s"}) == (
        {"kind": [b"a"], "tags": [b"n", b"s"]},
        [{"x": [1.0]}, {"x": [2.0]}],
    )


def test_a_rows_own_value_comes_before_the_contexts(encoder):
    # In no feature both, which TensorFlow would warn of in the server's log.
    assert split(encoder, [{}, {"kind": "b"}], GOOD) == (
        {"x": [1.0], "tags": []},
        [{"kind": [b"a"]}, {"kind": [b"b"]}],
    )


def test_errors_of_a_split_row(encoder):
    with pytest.raises(RequestRowError, match=r"^context: column 'x': ") as caught:
        split(encoder, [{"kind": "a"}], {"x": "many", "tags": ""})
    assert caught.value.index is None
    with pytest.raises(RequestRowError, match=r"^rows\[1\]: column 'x': .*'many'"):
        split(encoder, [{"x": 1}, {"x": "many"}], {"kind": "a", "tags": ""})
    with pytest.raises(
        RequestRowError,
        match=r"rows\[0\]: column 'x': expected the columns kind, x, tags; found tags",
    ):
        split(encoder, [{"kind": "a"}], {"tags": ""})


def test_dictionaries_need_no_pandas(encoder, monkeypatch):
    # None stands for a module that can't be imported.
    monkeypatch.setitem(sys.modules, "pandas", None)

    assert whole(encoder, [GOOD]) == [{"kind": [b"a"], "x": [1.0], "tags": []}]


def test_merged_examples_are_parsed_as_whole_ones(encoder):
    rows = [{"x": 1}, {"x": 2, "kind": "b"}]
    source = RowSource(rows, encoder.columns)
    context = {"kind": "a", "tags": "new"}
    shared, own = encoder.split(source, list(enumerate(source)), context)
    full = RowSource([context | row for row in rows], encoder.columns)
    parse = {
        "kind": tf.io.FixedLenFeature([], tf.string),
        "x": tf.io.FixedLenFeature([], tf.float32),
        "tags": tf.io.RaggedFeature(tf.string),
    }

    def parsed(raw):
        found = tf.io.parse_example(raw, parse)
        return {name: found[name].numpy().tolist() for name in parse}

    assert parsed(
        [shared.SerializeToString() + e.SerializeToString() for e in own]
    ) == parsed(
        [e.SerializeToString() for e in encoder.whole(full, list(enumerate(full)))]
    )

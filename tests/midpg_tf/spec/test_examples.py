from __future__ import annotations

import math
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from midpg_tf import DatasetSpec
from midpg_tf.spec import ExampleEncoder, RowError, as_text

ROW = {
    "country": "at",
    "device": 3,
    "tags": "new; sale",
    "age": "41.5",
    "price": 9,
    "amount": 12.5,
    "importance": 0.5,
    "a column of no use": object(),
}


@pytest.fixture
def encoder(spec: DatasetSpec) -> ExampleEncoder:
    return ExampleEncoder(spec)


def values(example: tf.train.Example, name: str) -> list:
    feature = example.features.feature[name]
    return list(getattr(feature, feature.WhichOneof("kind")).value)


def test_encodes_each_kind(encoder: ExampleEncoder) -> None:
    example = encoder.encode(ROW)
    assert {name: values(example, name) for name in example.features.feature} == {
        "country": [b"at"],
        "device": [b"3"],
        "tags": [b"new", b"sale"],
        "age": [41.5],
        "price": [9.0],
    }


def test_survives_serialisation_and_tensorflows_parser(encoder) -> None:
    parsed = tf.io.parse_single_example(
        encoder.encode(ROW, with_label=True).SerializeToString(),
        {
            "country": tf.io.FixedLenFeature([], tf.string),
            "tags": tf.io.VarLenFeature(tf.string),
            "bought": tf.io.FixedLenFeature([], tf.float32),
            "importance": tf.io.FixedLenFeature([], tf.float32),
        },
    )
    assert parsed["country"].numpy() == b"at"
    assert parsed["tags"].values.numpy().tolist() == [b"new", b"sale"]
    assert (float(parsed["bought"]), float(parsed["importance"])) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        (" ; ", []),
        ("sale", [b"sale"]),
        ("a|b;c", [b"a|b", b"c"]),
        ([], []),
        (["new", b"sale", 7], [b"new", b"sale", b"7"]),
        ([Decimal(7)], [b"7"]),
        (("new",), [b"new"]),
        # Blanks mean the same in a list as in a cell.
        (" new;; on sale ;", [b"new", b"on sale"]),
        ([" new", "", "on sale ", " "], [b"new", b"on sale"]),
        ([b" new", b""], [b"new"]),
        (["new", None, pd.NA], [b"new"]),
        (np.array(["new", "sale"]), [b"new", b"sale"]),
    ],
)
def test_multivalued(encoder: ExampleEncoder, tags: object, expected: list) -> None:
    assert values(encoder.encode(ROW | {"tags": tags}), "tags") == expected


@pytest.mark.parametrize(
    ("country", "expected"),
    [
        ("côte d'ivoire", "côte d'ivoire".encode()),
        (b"\xff", b"\xff"),
        (np.int64(12), b"12"),
        (Decimal("12345678901234567890"), b"12345678901234567890"),
        (Decimal("1E+2"), b"100"),
        (True, b"true"),
        (np.bool_(False), b"false"),
        ("", b""),
    ],
)
def test_categorical(encoder: ExampleEncoder, country: object, expected: bytes) -> None:
    example = encoder.encode(ROW | {"country": country})
    assert values(example, "country") == [expected]
    assert as_text("country", country) == expected


@pytest.mark.parametrize(
    ("empty", "found"),
    [
        (None, "an empty cell"),
        ("", "an empty cell"),
        (pd.NA, "an empty cell"),
        (pd.NaT, "an empty cell"),
        (math.nan, "nan"),
        (np.float32("nan"), "np.float32(nan)"),
        (Decimal("NaN"), "nan"),
        (Decimal("sNaN"), "nan"),
    ],
)
def test_default_stands_for_an_empty_number(encoder, empty: object, found: str) -> None:
    assert values(encoder.encode(ROW | {"age": empty}), "age") == [30.0]
    # Not so where the file gives no default.
    with pytest.raises(RowError) as caught:
        encoder.encode(ROW | {"price": empty})
    assert str(caught.value).endswith(
        f"'price': expected a finite number, found {found}; fill it in, or give the"
        " feature a default"
    )


@pytest.mark.parametrize("none", [None, pd.NA, pd.NaT])
def test_none_is_an_empty_cell(encoder: ExampleEncoder, none: object) -> None:
    empty = dict.fromkeys(("country", "device", "tags", "age"), none)
    cells = dict.fromkeys(empty, "")
    assert encoder.encode(ROW | empty) == encoder.encode(ROW | cells)
    assert encoder.scenario(ROW | empty) == ("(empty)", "(empty)")


@pytest.mark.parametrize(
    "value", [np.float32(0.25), np.int32(3), " 7 ", "1e3", Decimal("41.50"), Decimal(9)]
)
def test_numbers(encoder: ExampleEncoder, value: object) -> None:
    assert values(encoder.encode(ROW | {"price": value}), "price") == [float(value)]


@pytest.mark.parametrize("column", ["country", "tags", "age"])
def test_missing_column(encoder: ExampleEncoder, column: str) -> None:
    row = {name: value for name, value in ROW.items() if name != column}
    with pytest.raises(RowError) as caught:
        encoder.encode(row)
    assert caught.value.column == column
    found = ", ".join(sorted(row))
    assert str(caught.value) == (
        f"column {column!r}: expected this column, found {found}"
    )


def test_empty_row(encoder: ExampleEncoder) -> None:
    message = "'country': expected this column, found nothing"
    with pytest.raises(RowError, match=message):
        encoder.encode({})


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        (
            "country",
            1.0,
            "expected text or an integer, found 1.0 (float); store ids as text or"
            " integers",
        ),
        ("country", 1.5, "expected text or an integer, found 1.5 (float)"),
        ("country", Decimal("1.50"), "expected text or an integer, found 1.5 (float)"),
        ("age", Decimal("1e39"), "expected a finite number, found 1000"),
        ("country", ["at"], "expected text or an integer, found ['at'] (list)"),
        ("tags", 3, "expected a list, or text with ';', found 3"),
        ("tags", b"new", "expected a list, or text with ';', found b'new'"),
        ("tags", ["new", 1.5], "expected text or an integer, found 1.5 (float)"),
        ("tags", {"new": 1}, "expected a list, or text with ';', found {'new': 1}"),
        ("tags", np.array(3), "expected a list, or text with ';', found array(3)"),
        ("tags", "new;\ud800", r"expected Unicode text, found '\ud800'"),
        ("country", "\ud800", r"expected Unicode text, found '\ud800'"),
        ("country", Decimal("sNaN"), "expected text or an integer, found nan (float)"),
        ("age", "\ud800", r"expected a finite number, found '\ud800'"),
        ("age", np.array([1.0, 2.0]), "expected a finite number, found array([1., 2"),
        ("age", "old", "expected a finite number, found 'old'"),
        ("age", math.inf, "expected a finite number, found inf"),
        ("age", "nan", "expected a finite number, found 'nan'"),
        ("age", [41.5], "expected a finite number, found [41.5]"),
        # Finite in Python, but not as the float32 that is written.
        ("age", 1e39, "expected a finite number, found 1e+39"),
        ("age", 10**400, "expected a finite number, found 1000"),
    ],
)
def test_wrong_values(
    encoder: ExampleEncoder, column: str, value: object, problem: str
) -> None:
    with pytest.raises(RowError, match=re.escape(problem)) as caught:
        encoder.encode(ROW | {column: value})
    assert caught.value.column == column
    assert caught.value.problem in str(caught.value)


def test_a_request_needs_neither_label_nor_weight(encoder: ExampleEncoder) -> None:
    row = {k: v for k, v in ROW.items() if k not in ("amount", "importance")}
    assert "bought" not in encoder.encode(row).features.feature
    with pytest.raises(RowError, match="column 'amount': expected this column"):
        encoder.encode(row, with_label=True)


@pytest.mark.parametrize(
    ("rule", "column", "value", "expected"),
    [
        ({"greater_than": 3}, "amount", 3, 0.0),
        ({"greater_than": 3}, "amount", "3.5", 1.0),
        ({"equals": "buy"}, "amount", "buy", 1.0),
        ({"equals": "buy"}, "amount", "click", 0.0),
        ({"equals": "1"}, "amount", 1, 1.0),
        ({"equals": "1"}, "amount", Decimal(1), 1.0),
        ({"equals": "true"}, "amount", True, 1.0),
        (None, "bought", 1, 1.0),
        (None, "bought", "0", 0.0),
        (None, "bought", True, 1.0),
        (None, "bought", "True", 1.0),
        (None, "bought", " false ", 0.0),
    ],
)
def test_label_rules(write, rule, column: str, value: object, expected: float) -> None:
    label = {"name": "bought"}
    if rule:
        label["from"] = {"column": "amount", **rule}
    encoder = ExampleEncoder(DatasetSpec.load(write("label", label)))
    example = encoder.encode(ROW | {column: value}, with_label=True)
    assert values(example, "bought") == [expected]


@pytest.mark.parametrize("value", [2, -1, 0.5, "yes", "", None, math.nan, [1]])
def test_refuses_a_label_that_is_neither_0_nor_1(write, value: object) -> None:
    encoder = ExampleEncoder(DatasetSpec.load(write("label", {"name": "bought"})))
    with pytest.raises(RowError) as caught:
        encoder.encode(ROW | {"bought": value}, with_label=True)
    assert str(caught.value) == (
        f"column 'bought': expected a label of 0 or 1, found {value!r}"
    )


@pytest.mark.parametrize("value", ["", None, float("nan"), pd.NA])
def test_a_missing_label_is_none_of_0(write, value: object) -> None:
    rule = {"name": "bought", "from": {"column": "amount", "equals": "buy"}}
    encoder = ExampleEncoder(DatasetSpec.load(write("label", rule)))
    with pytest.raises(RowError, match="'amount': expected 'buy' or another value"):
        encoder.encode(ROW | {"amount": value}, with_label=True)


def test_a_label_that_is_no_utf_8_is_another_value(write) -> None:
    rule = {"name": "bought", "from": {"column": "amount", "equals": "buy"}}
    encoder = ExampleEncoder(DatasetSpec.load(write("label", rule)))
    example = encoder.encode(ROW | {"amount": b"\xff"}, with_label=True)
    assert values(example, "bought") == [0.0]


def test_weight(encoder: ExampleEncoder) -> None:
    example = encoder.encode(ROW | {"importance": "0"}, with_label=True)
    assert values(example, "importance") == [0.0]
    with pytest.raises(RowError, match=r"weight of at least 0, found -0\.5"):
        encoder.encode(ROW | {"importance": -0.5}, with_label=True)


def test_no_weight_unless_the_file_names_one(write) -> None:
    encoder = ExampleEncoder(DatasetSpec.load(write("weight")))
    example = encoder.encode(ROW, with_label=True)
    assert "importance" not in example.features.feature


def test_scenario_of_a_row(encoder: ExampleEncoder) -> None:
    assert encoder.scenario(ROW) == ("at", "3")
    with pytest.raises(RowError, match="'device'"):
        encoder.scenario({"country": "at"})


@pytest.mark.parametrize("country", ["new\nline", "a\r", b"\n"])
def test_a_scenario_has_no_line_breaks(encoder: ExampleEncoder, country) -> None:
    # TensorFlow Transform leaves them out of vocabularies.
    text = country.decode() if isinstance(country, bytes) else country
    with pytest.raises(RowError) as caught:
        encoder.scenario(ROW | {"country": country})
    assert str(caught.value) == (
        f"column 'country': expected text on one line, found {text!r}; replace the"
        " line break"
    )
    assert encoder.encode(ROW | {"country": country}, with_label=True)

"""Rows of files, with the numbers that a person finds them by."""

import sys
import warnings

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from serving.commands.row_files import RowFileError, open_rows


@pytest.fixture
def csv(tmp_path):
    """Opens a CSV file of a text."""

    def write(text, encoding="utf-8"):
        path = tmp_path / "rows.csv"
        path.write_bytes(text.encode(encoding))
        return open_rows(path)

    return write


def read(file, size=1000):
    return [
        pair
        for batch in file.batches(size)
        for pair in zip(batch.numbers, batch.rows, strict=True)
    ]


def test_a_row_has_the_number_of_its_line(csv):
    file = csv('kind,x\na,1\n\n"two\nlines",2\nb,\n')

    assert file.columns == ["kind", "x"]
    assert read(file) == [
        (2, {"kind": "a", "x": "1"}),
        (4, {"kind": "two\nlines", "x": "2"}),
        (6, {"kind": "b", "x": ""}),
    ]
    assert file.where(6).endswith("rows.csv, line 6")


def test_text_stays_text(csv):
    assert read(csv("kind,x\n007,1e3\nNA,null\n")) == [
        (2, {"kind": "007", "x": "1e3"}),
        (3, {"kind": "NA", "x": "null"}),
    ]


def test_files_of_a_spreadsheet(csv):
    assert read(csv("kind,x\r\né,1\r\n", "utf-8-sig")) == [(2, {"kind": "é", "x": "1"})]


def test_the_file_is_closed(csv):
    # Python itself would warn of it, where it can only be shown.
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        read(csv("kind,x\n007,1e3\n"))
        next(csv("kind,x\n007,1e3\n").batches(1))
    assert [one for one in found if "rows.csv" in str(one.message)] == []


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_batches(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    frame = pd.DataFrame({"x": range(25)})
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)

    batches = list(open_rows(path).batches(10))

    assert [len(batch.rows) for batch in batches] == [10, 10, 5]
    assert [int(row["x"]) for batch in batches for row in batch.rows] == [*range(25)]
    first = 2 if kind == "csv" else 1
    assert [n for batch in batches for n in batch.numbers] == [
        *range(first, first + 25)
    ]
    shares = [batch.read for batch in batches]
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] == 1


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_no_rows(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    frame = pd.DataFrame({"x": []})
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)

    assert list(open_rows(path).columns) == ["x"]
    assert read(open_rows(path)) == []


def test_parquet_has_values_of_their_types(tmp_path):
    path = tmp_path / "rows.parquet"
    rows = [{"x": 1.5, "tags": ["a", "b"]}, {"x": None, "tags": None}]
    pd.DataFrame(rows).to_parquet(path)

    file = open_rows(path)

    assert read(file) == [(1, rows[0]), (2, rows[1])]
    assert file.where(2) == f"{path}, row 2"


def test_a_parquet_value_that_python_cannot_hold(tmp_path):
    path = tmp_path / "rows.parquet"
    day = pa.array([0, 1 << 62], pa.timestamp("us"))
    pa.parquet.write_table(pa.table({"x": [1, 2], "day": day}), path)

    with pytest.raises(RowFileError) as caught:
        read(open_rows(path, ["x"]))
    assert str(caught.value) == (
        f"{path}, row 2: column 'day': expected a value that can be read, found:"
        " OverflowError: date value out of range"
    )
    # What no one needs isn't read.
    rows = open_rows(path, ["x"], others=False)
    assert read(rows) == [(1, {"x": 1}), (2, {"x": 2})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"rows\.csv: expected a header line, found none"),
        ("x,y\n1,2\n1\n", r"rows\.csv, line 3: expected 2 cells, found 1"),
        ("x,y\n1,2,3\n", r"rows\.csv, line 2: expected 2 cells, found 3"),
        ('x,y\n1,2\n1,"2\n', r"rows\.csv, line 3: unexpected end of data$"),
        (
            'x,y\n1,"C:\\"\n1,"an \\"or\\""\n',
            r"rows\.csv, line 3: ',' expected after '\"'; write quotes within a cell"
            " twice, not behind a backslash",
        ),
    ],
)
def test_damaged_csv(csv, text, message):
    with pytest.raises(RowFileError, match=message):
        read(csv(text))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_are_there_once(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    write = pa.csv.write_csv if kind == "csv" else pa.parquet.write_table
    write(pa.table([["a"], [1], [2]], ["kind", "x", "x"]), path)
    with pytest.raises(RowFileError) as caught:
        open_rows(path)
    assert str(caught.value) == f"{path}: expected each column once, found 'x' again"

    write(pa.table([["a"], [1]], ["kind", "x"]), path)
    assert list(open_rows(path, ["x"]).columns) == ["kind", "x"]
    with pytest.raises(RowFileError) as caught:
        open_rows(path, ["x", "y"])
    assert str(caught.value) == (
        f"{path}: expected the columns x, y; found kind, x; missing: y"
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_that_no_one_needs_may_be_there_twice(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    write = pa.csv.write_csv if kind == "csv" else pa.parquet.write_table
    write(pa.table([["a"], [1], [2]], ["kind", "x", "x"]), path)

    ((_, row),) = read(open_rows(path, ["kind"], others=False))
    assert row["kind"] == "a"
    with pytest.raises(RowFileError, match="each column once, found 'x' again"):
        open_rows(path, ["kind", "x"], others=False)


def test_commas_at_the_ends_of_lines(csv):
    file = csv("kind,x,,\na,1,,\n")
    assert file.columns == ["kind", "x"]
    ((_, row),) = read(file)
    assert {name: row[name] for name in file.columns} == {"kind": "a", "x": "1"}
    with pytest.raises(RowFileError, match="expected 4 cells, found 3"):
        read(csv("kind,x,,\na,1,\n"))
    # pandas has its index there.
    assert csv(",kind\n0,a\n").columns == ["", "kind"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_csv_in_another_encoding(csv, rows, end):
    with pytest.raises(RowFileError) as caught:
        read(csv(end.join(["kind", *["abc"] * rows, "é", ""]), "latin-1"))
    assert str(caught.value).endswith(
        f"rows.csv, line {rows + 2}: expected UTF-8, found the byte 0xe9; write the"
        " file anew in UTF-8"
    )


def test_csv_with_a_header_in_another_encoding(csv):
    with pytest.raises(RowFileError, match=r"line 1: expected UTF-8, found the byte 0"):
        csv("größe\n1\n", "cp1252")


def test_damaged_parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_text("kind,x\n")

    with pytest.raises(RowFileError, match=r"rows\.parquet: expected a Parquet file"):
        open_rows(path)


def test_csv_needs_no_pyarrow_and_parquet_says_so(csv, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    assert len(read(csv("x\n1\n"))) == 1
    with pytest.raises(RowFileError, match="pip install pyarrow, or use CSV"):
        open_rows(tmp_path / "rows.parquet")

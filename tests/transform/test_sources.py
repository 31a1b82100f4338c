from __future__ import annotations

import os
import warnings

import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf

from transform.errors import IngestError
from transform.sources import (
    SourceFile,
    check_files,
    files_digest,
    needed_columns,
)

HEADER = "age_group,gender,genres,price,rating"


def message(spec):
    with pytest.raises(IngestError) as caught:
        check_files(spec)
    return str(caught.value)


def test_files_are_found_in_order(tmp_path, make_spec):
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text(HEADER + "\n")
    assert check_files(make_spec(path="*.csv")) == [
        SourceFile(str(tmp_path / "a.csv")),
        SourceFile(str(tmp_path / "b.csv")),
    ]


def test_only_needed_columns(make_spec):
    expected = ["age_group", "gender", "genres", "price", "rating"]
    assert needed_columns(make_spec()) == expected
    by_hash = make_spec(split={"by": "hash", "columns": ["user", "gender"]})
    assert needed_columns(by_hash) == [*expected, "user"]
    by_time = make_spec(split={"by": "time", "column": "day"})
    assert needed_columns(by_time) == [*expected, "day"]


def test_no_file(tmp_path, make_spec):
    assert message(make_spec()) == (
        f"{tmp_path}/rows.csv: expected at least one file, found none;"
        " correct data.path"
    )
    for path, told in (
        ("~/rows.csv", "~ and variables stand for themselves"),
        ("$HOME/rows.csv", "~ and variables stand for themselves"),
        (f"{tmp_path}/[2024]/rows.csv", "*, ? and [ of folders are of a pattern, too"),
    ):
        assert message(make_spec(path=path)).endswith(
            f"correct data.path, in which {told}"
        )
    split = {"by": "files", "train": "a*", "eval": "b*", "test": "c*"}
    (tmp_path / "a1").write_text(HEADER + "\n")
    lines = message(make_spec(path="", split=split)).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{tmp_path}/b*: ")
    assert lines[0].endswith("correct data.split.eval")


@pytest.mark.parametrize("format_", ["csv", "parquet", "tfrecord"])
def test_empty_file(tmp_path, make_spec, format_):
    (tmp_path / f"rows.{format_}").write_bytes(b"")
    assert message(make_spec(format_)) == (
        f"{tmp_path}/rows.{format_}: expected rows, found an empty file"
    )


def test_folder(tmp_path, make_spec):
    (tmp_path / "rows.csv").mkdir()
    assert message(make_spec()) == (
        f"{tmp_path}/rows.csv: expected a file, found a folder; name its files, such as"
        f" {tmp_path}/rows.csv/*.csv"
    )


def test_no_file_is_in_two_splits(tmp_path, make_spec):
    for name in ("a.csv", "eval.csv", "test.csv"):
        (tmp_path / name).write_text(HEADER + "\n")
    split = {"by": "files", "train": "*.csv", "eval": "eval.csv", "test": "test.csv"}
    assert message(make_spec(path="", split=split)).splitlines() == [
        f"{tmp_path}/{name}.csv: expected a file of one split, found it in train and"
        f" {name}; correct data.split"
        for name in ("eval", "test")
    ]


def test_missing_column(tmp_path, make_spec):
    (tmp_path / "rows.csv").write_text("age-group,gender,genres,price,rating,other\n")
    assert message(make_spec()) == (
        f"{tmp_path}/rows.csv: expected the column 'age_group', found the columns"
        " 'age-group', 'gender', 'genres', 'price', 'rating', 'other'; did you mean"
        " 'age-group'?"
    )


def test_repeated_column(tmp_path, make_spec):
    (tmp_path / "rows.csv").write_text(HEADER + ",price\n")
    assert "'price' once, found it 2 times" in message(make_spec())
    (tmp_path / "rows.csv").write_text(HEADER + ",unused,unused\n")
    check_files(make_spec())


def test_header_with_byte_order_mark_and_line_break(tmp_path, make_spec):
    header = "\ufeff" + HEADER + ',"a\nb"\n'
    (tmp_path / "rows.csv").write_bytes(header.encode())
    check_files(make_spec())


@pytest.mark.parametrize("content", [b"\n", b"a,\xff\n", b"a,b"])
def test_csv_without_header_line(tmp_path, make_spec, content):
    (tmp_path / "rows.csv").write_bytes(content)
    assert "expected CSV with a header line in UTF-8" in message(make_spec())


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_without_commas(tmp_path, make_spec, separator):
    lines = (HEADER, "18-24,F,,2.5,4", "")
    text = "\n".join(lines).replace(",", separator).replace(".", ",")
    told = (
        f"{tmp_path}/rows.csv, line 1: expected commas between cells, found"
        f" {separator!r}; write it anew with commas, in UTF-8"
    )
    # Excel's rows: numbers with commas, and the encoding of the system.
    excel = text.replace("gender", '"größe, m"') + text.replace("F", "ü,ö,ä")
    for content in (text.encode(), excel.encode("cp1252")):
        (tmp_path / "rows.csv").write_bytes(content)
        assert message(make_spec()) == told


def test_semicolons_in_names(tmp_path, make_spec):
    (tmp_path / "rows.csv").write_text(HEADER + ',a;b,"c;d"\n')
    check_files(make_spec())
    (tmp_path / "rows.csv").write_text('"c;d"\n')
    assert "found the columns 'c;d'" in message(make_spec())


def test_parquet_that_is_taken_for_csv(tmp_path, make_spec):
    table = pa.table({"a": [f"x{i}" for i in range(1000)], "b": range(1000)})
    pa.parquet.write_table(table, tmp_path / "rows.csv")
    assert message(make_spec()) == (
        f"{tmp_path}/rows.csv: expected CSV with a header line in UTF-8, found: a"
        " binary file, or UTF-16; check data.format"
    )


def test_missing_parquet_column(tmp_path, make_spec):
    pa.parquet.write_table(pa.table({"gender": ["F"]}), tmp_path / "rows.parquet")
    lines = message(make_spec("parquet")).splitlines()
    assert len(lines) == 4
    assert "expected the column 'age_group', found the columns 'gender'" in lines[0]


def test_no_parquet(tmp_path, make_spec):
    (tmp_path / "rows.parquet").write_text(HEADER)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        text = message(make_spec("parquet"))
    assert f"{tmp_path}/rows.parquet: expected a Parquet file" in text
    # It is closed all the same.
    assert [one for one in found if "rows.parquet" in str(one.message)] == []


def test_no_tfrecord(tmp_path, make_spec):
    (tmp_path / "rows.tfrecord").write_text(HEADER * 10)
    text = message(make_spec("tfrecord"))
    assert text.startswith(f"{tmp_path}/rows.tfrecord, record 1: expected a TFRecord")
    assert "found: corrupted record at 0" in text


def test_missing_feature_of_the_first_record(tmp_path, make_spec):
    with tf.io.TFRecordWriter(str(tmp_path / "rows.tfrecord")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    text = message(make_spec("tfrecord"))
    # An empty list may be left out, so `genres` isn't missed.
    assert [line.split("'")[1] for line in text.splitlines()] == [
        "age_group",
        "gender",
        "price",
        "rating",
    ]
    assert "found the columns none" in text


def test_the_digest_is_of_names_sizes_and_times(tmp_path, make_spec):
    path = tmp_path / "rows.csv"
    path.write_text(HEADER)
    os.utime(path, (1, 1))
    spec = make_spec()
    found = [files_digest(spec), files_digest(spec)]
    os.utime(path, (1, 2))
    found.append(files_digest(spec))
    path.write_text(HEADER + "\n")
    os.utime(path, (1, 2))
    found.append(files_digest(spec))
    path.rename(tmp_path / "other.csv")
    found.append(files_digest(make_spec(path="other.csv")))
    assert found[0] == found[1]
    assert len(set(found)) == 4

from __future__ import annotations

import decimal
import gzip
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf

from transform.batches import BATCH_ROWS, Chunk
from transform.errors import IngestError
from transform.readers import READERS


def read(format_, path, columns=("a",)):
    reader = READERS[format_]
    batches = [
        batch
        for chunk in reader.chunks(str(path), None)
        for batch in reader.read(chunk, columns)
    ]
    rows = dict(itertools.chain.from_iterable(b.rows(()) for b in batches))
    return rows, [str(issue) for batch in batches for issue in batch.issues]


def test_csv_reads_needed_columns_as_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b,c\n007,NA,"x,\ny ""z"""\n,1,\n')
    rows, issues = read("csv", path, ("c", "a"))
    assert rows == {2: {"c": 'x,\ny "z"', "a": "007"}, 3: {"c": "", "a": ""}}
    assert issues == []


def test_csv_numbers_rows_across_blocks(tmp_path):
    path = tmp_path / "x.csv"
    filler = "x" * 100
    lines = [f"{i}" if i % 10_000 == 0 else f"{i},{filler}" for i in range(2, 50_001)]
    path.write_text("\n".join(["a,b", *lines]))
    rows, issues = read("csv", path)
    assert len(rows) == 49_994
    assert all(row["a"] == str(number) for number, row in rows.items())
    assert len(issues) == 5
    assert issues[4] == f"{path}, row 50000: expected 2 cells, found 1: '50000'"


def test_csv_that_cannot_be_parsed(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n1\n\xff\n")
    _, issues = read("csv", path)
    assert len(issues) == 1
    assert issues[0] == (
        f"{path}, row 3: expected UTF-8, found other bytes; write the file anew in"
        " UTF-8"
    )
    path.write_bytes(b'a\n1\n"' + b"2\n" * (1 << 20))
    _, issues = read("csv", path)
    assert "every quote closed and every row below 1 MiB" in issues[0]
    assert issues[0].endswith("; a quote is open since line 3")


# Arrow decodes the row for its handler, and can't raise what comes of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_csv_row_that_has_other_cells_and_another_encoding(tmp_path):
    path = tmp_path / "x.csv"
    problem = (
        "expected 2 cells, found 3, and not in UTF-8: 'caf\ufffd,1,1'; write the file"
        " anew in UTF-8"
    )
    path.write_bytes(b"a,b\n1,2\n" + b"caf\xe9,1,1\n")
    assert read("csv", path)[1] == [f"{path}, row 3: {problem}"]
    with pytest.raises(IngestError) as caught:
        READERS["csv"].column_names(str(path))
    assert str(caught.value) == f"{path}, row 3: {problem}"
    # In a later block, after another row that isn't whole.
    path.write_bytes(b"a,b\n1\n" + b"1,2\n" * 600_000 + b"caf\xe9,1,1\n")
    assert read("csv", path)[1] == [
        f"{path}, row 2: expected 2 cells, found 1: '1'",
        f"{path}, row 600003: {problem}",
    ]


@pytest.mark.parametrize("column", ["a", "b"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_csv_with_a_quote_that_is_never_closed(tmp_path, compress, column):
    # Arrow makes one cell of all that follows, whichever columns are read.
    path = tmp_path / ("x.csv" if compress is bytes else "x.csv.gz")
    path.write_bytes(compress(b'a,b\n1,x\n2,"6 inch\n' + b"3,y\n" * 1000))
    rows, issues = read("csv", path, (column,))
    assert len(rows) == 2
    assert len(issues) == 1
    assert issues[0].startswith(f"{path}: expected every quoted cell closed")
    assert "in line 3: '\"6 inch'" in issues[0]


ENDINGS = """
import os, sys
from transform.csv_reader import column_names

for _ in range(8):
    if not (child := os.fork()):
        column_names(sys.argv[1])
        sys.exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_a_process_that_ends_behind_the_header_is_not_aborted(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 50_000)
    done = subprocess.run(
        [sys.executable, "-c", ENDINGS, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["1"] * 8


def test_csv_without_rows_has_a_batch(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n")
    batches = list(READERS["csv"].read(Chunk(str(path), None), ["a"]))
    assert [len(batch.numbers) for batch in batches] == [0]


def test_gzip_csv(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert READERS["csv"].column_names(str(path)) == ["a", "b"]
    assert read("csv", path)[0] == {2: {"a": "1"}}


def test_parquet_row_groups_are_chunks(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table({"a": range(25), "b": [None] * 25})
    pa.parquet.write_table(table, path, row_group_size=10)
    chunks = list(READERS["parquet"].chunks(str(path), "eval"))
    assert chunks == [
        Chunk(str(path), "eval", row_group, first_row)
        for row_group, first_row in ((0, 1), (1, 11), (2, 21))
    ]
    rows, _ = read("parquet", path)
    assert rows == {i + 1: {"a": i} for i in range(25)}


def test_parquet_decimals_and_nulls(tmp_path):
    path = tmp_path / "x.parquet"
    decimals = pa.array([1.25, None]).cast(pa.decimal128(10, 2))
    pa.parquet.write_table(pa.table({"a": decimals}), path)
    assert read("parquet", path)[0] == {1: {"a": 1.25}, 2: {"a": ""}}


def test_parquet_decimals_without_places_are_whole_numbers(tmp_path):
    path = tmp_path / "x.parquet"
    ids = [decimal.Decimal(12345678901234567890), None]
    pa.parquet.write_table(pa.table({"a": pa.array(ids, pa.decimal128(38, 0))}), path)
    found, _ = read("parquet", path)
    assert found == {1: {"a": 12345678901234567890}, 2: {"a": ""}}


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (
            pa.array([0, 1 << 62, None], pa.timestamp("us")),
            "OverflowError: date value out of range",
        ),
        (
            pa.array([None, 1, None], pa.timestamp("s", "Nowhere/City")),
            "UnknownTimeZoneError: 'Nowhere/City'",
        ),
        (
            # Arrow's own way around its check of text.
            pa.array([b"a", b"\xff", None]).view(pa.string()),
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0:"
            " invalid start byte",
        ),
    ],
)
def test_parquet_values_that_python_cannot_hold(tmp_path, column, found):
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.table({"a": column, "b": [1, 2, 3]}), path)
    rows, issues = read("parquet", path, ("a", "b"))
    assert str(rows.pop(2)) == (
        f"{path}, row 2, column 'a': expected a value that can be read, found: {found}"
    )
    first = column[:1].to_pylist()[0]
    assert rows == {
        1: {"a": "" if first is None else first, "b": 1},
        3: {"a": "", "b": 3},
    }
    assert issues == []


def test_parquet_that_is_cut_off(tmp_path):
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.table({"a": range(1000)}), path, compression="none")
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    _, issues = read("parquet", path)
    assert issues[0].startswith(f"{path}, row 1: expected a readable row group 0")


def test_corrupted_record_in_a_later_batch(tmp_path):
    path = tmp_path / "x.tfrecord"
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[7]))
    example = tf.train.Example(features=tf.train.Features(feature={"a": feature}))
    record = example.SerializeToString()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(BATCH_ROWS + 10):
            writer.write(record)
    content = bytearray(path.read_bytes())
    size = len(content) // (BATCH_ROWS + 10)
    content[size * (BATCH_ROWS + 4) + 12] ^= 255
    path.write_bytes(content)
    rows, issues = read("tfrecord", path)
    assert rows == {i + 1: {"a": 7} for i in range(BATCH_ROWS + 4)}
    assert issues[0].startswith(
        f"{path}, row {BATCH_ROWS + 5}: expected a whole record"
    )


def test_gzip_tfrecord(tmp_path):
    path = tmp_path / "x.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        writer.write(tf.train.Example().SerializeToString())
    assert read("tfrecord", path)[0] == {1: {}}


def test_gzip_csv_that_is_cut_off(tmp_path):
    path = tmp_path / "x.csv.gz"
    content = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    path.write_bytes(content[:-10])
    _, issues = read("csv", path)
    assert len(issues) == 1
    assert issues[0].startswith(f"{path}: expected CSV")


def test_no_gzip_csv(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(IngestError, match="expected CSV with a header") as caught:
        READERS["csv"].column_names(str(path))
    assert str(caught.value).startswith(f"{path}: ")


@pytest.fixture
def records():
    """Ten records of a TFRecord file, framed."""
    example = tf.train.Example()
    framed = []
    for number in range(10):
        example.features.feature["a"].int64_list.value[:] = [number]
        data = example.SerializeToString()
        # The checksums' masks are TensorFlow's affair.
        with tempfile.NamedTemporaryFile() as file:
            with tf.io.TFRecordWriter(file.name) as writer:
                writer.write(data)
            framed.append(Path(file.name).read_bytes())
    return framed


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("left", [1, 8, 11, 12, 20])
def test_tfrecord_that_is_cut_off_is_never_taken_for_a_whole_one(
    tmp_path, records, gzipped, left
):
    # TensorFlow alone ends without an error where fewer than 12 bytes are left.
    content = b"".join(records)[: sum(map(len, records[:7])) + left]
    path = tmp_path / ("x.gz" if gzipped else "x")
    path.write_bytes(gzip.compress(content) if gzipped else content)
    rows, issues = read("tfrecord", path)
    assert rows == {number + 1: {"a": number} for number in range(7)}
    assert len(issues) == 1
    assert issues[0].startswith(f"{path}, row 8: expected a whole record, found")


@pytest.mark.slow
def test_gzip_tfrecord_is_cut_off_anywhere(tmp_path, records):
    path = tmp_path / "x.gz"
    content = gzip.compress(b"".join(records))
    for size in range(20, len(content), 3):
        path.write_bytes(content[:size])
        _, issues = read("tfrecord", path)
        assert len(issues) == 1, size


def test_gzip_tfrecord_of_several_members(tmp_path, records):
    path = tmp_path / "x.gz"
    path.write_bytes(b"".join(map(gzip.compress, records)))
    rows, issues = read("tfrecord", path)
    assert len(rows) == 10
    assert issues == []

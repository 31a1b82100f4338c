from __future__ import annotations

import csv
import datetime

import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf

from transform.checks import check_summary
from transform.errors import IngestError
from transform.splits import moment
from transform.summary import RowCount

pytestmark = pytest.mark.slow

HEADER = ("age_group", "gender", "genres", "price", "rating", "day", "part")


def row(i, **changes):
    """A row with both labels, two scenarios, and a day of its own."""
    values = (
        "18-24",
        "FM"[i % 2],
        ["a,b", "line\nbreak", 'q"'][: i % 4],
        i / 4,
        1 + i % 5,
        str(datetime.date(2024, 1, 1) + datetime.timedelta(days=i)),
        ("train", "train", "train", "eval", "eval", "test", "test")[i % 7],
    )
    return dict(zip(HEADER, values, strict=True)) | changes


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(r | {"genres": "|".join(r["genres"])} for r in rows)


def write_parquet(path, rows):
    pa.parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)


def write_tfrecord(path, rows):
    def feature(value):
        values = value if isinstance(value, list) else [value]
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        encoded = [value.encode() for value in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for r in rows:
            features = {name: feature(value) for name, value in r.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def values(example, name):
    feature = example.features.feature[name]
    return list(getattr(feature, feature.WhichOneof("kind")).value)


def days(examples, rows):
    """The days of examples, by their prices, which differ in every row."""
    by_price = {r["price"]: r["day"] for r in rows}
    return sorted(by_price[values(example, "price")[0]] for example in examples)


@pytest.fixture(scope="module")
def rows():
    return [row(i) for i in range(40)]


def test_all_formats_give_the_same_examples(tmp_path, make_spec, run_ingest, rows):
    results = []
    for name, write in (
        ("csv", write_csv),
        ("parquet", write_parquet),
        ("tfrecord", write_tfrecord),
    ):
        write(tmp_path / f"rows.{name}", rows)
        results.append(run_ingest(make_spec(name)))
        for output in tmp_path.glob("*-of-*"):
            output.unlink()
    splits, summary = results[0]
    assert summary.files == {str(tmp_path / "rows.csv"): 40}
    for other, other_summary in results[1:]:
        assert other == splits
        assert other_summary.counts == summary.counts

    examples = [example for part in splits.values() for example in part]
    assert len(examples) == 40
    found = {values(example, "price")[0]: example for example in examples}
    example = found[3 / 4]
    assert values(example, "age_group") == [b"18-24"]
    assert values(example, "genres") == [b"a,b", b"line\nbreak", b'q"']
    assert values(example, "clicked") == [1.0]
    assert set(example.features.feature) == {
        "age_group",
        "gender",
        "genres",
        "price",
        "clicked",
    }


def test_summary_counts_rows(tmp_path, make_spec, run_ingest, rows):
    write_csv(tmp_path / "rows.csv", rows)
    spec = make_spec(split={"by": "column", "column": "part"})
    splits, summary = run_ingest(spec)
    for name, examples in splits.items():
        assert summary.rows(name) == len(examples)
        assert summary.rows(name) == sum(r["part"] == name for r in rows)
    expected = sum(
        r["part"] == "eval" and r["gender"] == "F" and r["rating"] > 3 for r in rows
    )
    assert (
        RowCount(split="eval", scenario=("18-24", "F"), label=1, rows=expected)
        in summary.counts
    )
    assert summary.test_start is None
    check_summary(spec, summary)


def test_contents_are_told_by_rows_alone(tmp_path, make_spec, run_ingest, rows):
    spec = make_spec(path="rows*", split={"by": "column", "column": "part"})

    def contents(*files):
        for number, part in enumerate(files):
            write_csv(tmp_path / f"rows{number}.csv", part)
        found = run_ingest(spec)[1].contents
        for output in tmp_path.glob("*-of-*"):
            output.unlink()
        return found

    found = contents(rows[25:], rows[:25][::-1])
    assert found == contents(rows[:7], rows[7:])
    assert set(found) == {"train", "eval", "test"}
    other = contents(rows[:7], [rows[7] | {"price": -1.0}, *rows[8:]])
    changed = {split for split in found if found[split] != other[split]}
    assert changed == {rows[7]["part"]}


def test_rows_without_weight_are_counted(tmp_path, make_spec, run_ingest, rows):
    ratings = [r | {"rating": 5 * (i % 4 < 2)} for i, r in enumerate(rows)]
    write_csv(tmp_path / "rows.csv", ratings)
    spec = make_spec(split={"by": "column", "column": "part"})
    # The weight of rows without a conversion is 0.
    spec = spec.model_copy(update={"weight": "rating"})
    _, summary = run_ingest(spec)
    for split in ("train", "eval", "test"):
        assert summary.weightless(split, 0) == summary.rows(split, label=0) > 0
        assert summary.weightless(split, 1) == 0
    with pytest.raises(IngestError, match="rows without a conversion, found 0 in each"):
        check_summary(spec, summary)


def test_split_by_time_keeps_equal_moments_together(
    tmp_path, make_spec, run_ingest, rows
):
    # Without ties the test split would begin at day 32, the eval split at day 24.
    tied = [
        r | {"day": rows[30]["day"]} if 30 <= i <= 33 else r for i, r in enumerate(rows)
    ]
    write_csv(tmp_path / "rows.csv", tied)
    split = {"by": "time", "column": "day", "eval": 0.2, "test": 0.2}
    splits, summary = run_ingest(make_spec(split=split))
    ordered = sorted(r["day"] for r in tied)
    assert days(splits["train"], tied) == ordered[:24]
    assert days(splits["eval"], tied) == ordered[24:30]
    assert days(splits["test"], tied) == ordered[30:]
    assert summary.test_start == moment("day", ordered[30])
    assert summary.issue_count == 0


def test_split_by_time_reads_parquet_timestamps(tmp_path, make_spec, run_ingest, rows):
    dated = [r | {"day": datetime.datetime.fromisoformat(r["day"])} for r in rows]
    write_parquet(tmp_path / "rows.parquet", dated)
    splits, _ = run_ingest(
        make_spec("parquet", split={"by": "time", "column": "day", "test": 0.25})
    )
    assert days(splits["test"], dated) == [r["day"] for r in dated[30:]]


def test_a_moment_that_python_cannot_hold(tmp_path, make_spec, run_ingest, rows):
    table = pa.Table.from_pylist(rows).drop_columns("day")
    days = pa.array([*range(39), 1 << 62], pa.timestamp("us"))
    path = tmp_path / "rows.parquet"
    pa.parquet.write_table(table.append_column("day", days), path)
    spec = make_spec("parquet", split={"by": "time", "column": "day"})
    splits, summary = run_ingest(spec)
    assert [len(splits[name]) for name in ("train", "eval", "test")] == [31, 4, 4]
    assert list(map(str, summary.issues)) == [
        f"{path}, row 40, column 'day': expected a value that can be read, found:"
        " OverflowError: date value out of range"
    ]


def test_the_default_split_does_not_go_by_the_label(tmp_path, make_spec, run_ingest):
    # Just two kinds of rows, a quarter of them with the label 1: with the label in the
    # hash there would be four, and a split could have one class alone.
    rows = [row(i % 2, rating=5 * (i % 4 < 2), price=0) for i in range(1600)]
    rows = [r for i, r in enumerate(rows) if r["rating"] == 0 or i % 3 == 0]
    write_csv(tmp_path / "rows.csv", rows)
    spec = make_spec(split={"by": "hash", "eval": 0.25, "test": 0.25})
    splits, summary = run_ingest(spec)
    assert len(splits["test"]) == pytest.approx(len(rows) / 4, abs=70)
    for split in splits:
        share = summary.rows(split, label=1) / summary.rows(split)
        assert share == pytest.approx(0.25, abs=0.1)


def test_the_default_split_stays_when_labels_come_true(tmp_path, make_spec, run_ingest):
    spec = make_spec(split={"by": "hash", "eval": 0.25, "test": 0.25})
    found = []
    for rating in (1, 5):
        write_csv(tmp_path / "rows.csv", [row(i, rating=rating) for i in range(40)])
        splits, _ = run_ingest(spec)
        prices = {k: [values(x, "price") for x in part] for k, part in splits.items()}
        found.append({k: sorted(part) for k, part in prices.items()})
        for output in tmp_path.glob("*-of-*"):
            output.unlink()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("split", "unkeyed"),
    [
        ({"by": "hash", "columns": ["age_group", "genres"]}, 0),
        ({"by": "hash", "columns": ["day", "genres"]}, 5),
        ({"by": "hash"}, 0),
        ({"by": "column", "column": "part"}, 0),
    ],
)
def test_rows_that_their_features_split_are_counted(
    tmp_path, make_spec, run_ingest, split, unkeyed
):
    # Every second row has no day, and every fourth has no genres.
    rows = [row(i, **({"day": ""} if i % 2 == 0 else {})) for i in range(20)]
    write_csv(tmp_path / "rows.csv", rows)
    _, summary = run_ingest(make_spec(split=split))
    assert summary.unkeyed == unkeyed


def test_split_by_files(tmp_path, make_spec, run_ingest, rows):
    for i, name in enumerate(("train-a", "train-b", "eval", "test")):
        write_csv(tmp_path / f"in_{name}.csv", rows[i * 10 : i * 10 + 10])
    split = {
        "by": "files",
        "train": "in_train-*.csv",
        "eval": "in_eval.csv",
        "test": "in_test.csv",
    }
    splits, summary = run_ingest(make_spec(path="", split=split))
    assert days(splits["train"], rows) == [r["day"] for r in rows[:20]]
    assert days(splits["test"], rows) == [r["day"] for r in rows[30:]]
    assert len(summary.files) == 4


def test_rows_in_error_are_reported_with_file_row_and_column(
    tmp_path, make_spec, run_ingest, rows
):
    write_csv(
        tmp_path / "rows.csv", [*rows, row(40, price="cheap"), row(41, rating="")]
    )
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("18-24,F\n18-24,F,,2,1,2024-01-01,train\n")
    spec = make_spec()
    splits, summary = run_ingest(spec)
    assert sum(map(len, splits.values())) == 41
    assert summary.issue_count == 3
    with pytest.raises(IngestError) as caught:
        check_summary(spec, summary)
    file = tmp_path / "rows.csv"
    assert str(caught.value).splitlines() == [
        # The header is row 1, so that the i-th row of data is row i + 2.
        f"{file}, row 42, column 'price': expected a finite number, found 'cheap'",
        f"{file}, row 43, column 'rating': expected a finite number, found ''",
        f"{file}, row 44: expected 7 cells, found 2: '18-24,F'",
        "3 problems in 43 rows of 1 file; correct the rows, or the description of"
        " their columns",
    ]


def test_a_scenario_that_is_no_text_is_reported(tmp_path, make_spec, run_ingest, rows):
    path = tmp_path / "rows.tfrecord"
    write_tfrecord(path, rows)
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    example = tf.train.Example.FromString(records[4])
    groups = example.features.feature["age_group"].bytes_list
    groups.value[0] = "Zürich".encode("latin-1")
    records[4] = example.SerializeToString()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    splits, summary = run_ingest(make_spec("tfrecord"))
    assert sum(map(len, splits.values())) == 39
    assert str(summary.issues[0]).startswith(
        f"{path}, row 5, column 'age_group': expected UTF-8, found b'Z\\xfcrich'"
    )


def test_split_column_in_error(tmp_path, make_spec, run_ingest, rows):
    write_csv(tmp_path / "rows.csv", [row(0, part="valid", day="today"), *rows])
    _, summary = run_ingest(make_spec(split={"by": "column", "column": "part"}))
    assert str(summary.issues[0]).endswith(
        "row 2, column 'part': expected one of ['train', 'eval', 'test'], found 'valid'"
    )
    _, summary = run_ingest(make_spec(split={"by": "time", "column": "day"}))
    assert str(summary.issues[0]).endswith(
        "row 2, column 'day': expected a number or an ISO 8601 date, found 'today'"
    )
    assert summary.issue_count == 1
    _, summary = run_ingest(make_spec(split={"by": "time", "column": "part"}))
    assert summary.issue_count == 41


def test_header_without_rows(tmp_path, make_spec, run_ingest, rows):
    write_csv(tmp_path / "a.csv", rows)
    write_csv(tmp_path / "b.csv", [])
    spec = make_spec(path="*.csv", split={"by": "column", "column": "part"})
    _, summary = run_ingest(spec)
    assert summary.files == {str(tmp_path / "a.csv"): 40, str(tmp_path / "b.csv"): 0}
    with pytest.raises(IngestError, match=r"b\.csv: expected rows, found none"):
        check_summary(spec, summary)


def test_corrupted_record_is_reported_by_number(tmp_path, make_spec, run_ingest, rows):
    path = tmp_path / "rows.tfrecord"
    write_tfrecord(path, rows)
    path.write_bytes(path.read_bytes()[:-3])
    splits, summary = run_ingest(make_spec("tfrecord"))
    assert sum(map(len, splits.values())) == 39
    assert summary.files == {str(path): 39}
    assert summary.issue_count == 1
    assert str(summary.issues[0]).startswith(
        f"{path}, row 40: expected a whole record, found: truncated record at"
    )


def test_record_that_is_no_example_is_reported(tmp_path, make_spec, run_ingest, rows):
    path = tmp_path / "rows.tfrecord"
    write_tfrecord(path, rows)
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    records[20] = b"not a proto"
    no_price = {k: v for k, v in row(21).items() if k != "price"}
    write_tfrecord(tmp_path / "other", [no_price])
    records[21] = (
        tf.data.TFRecordDataset(str(tmp_path / "other"))
    ).get_single_element()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.numpy() if tf.is_tensor(record) else record)
    _, summary = run_ingest(make_spec("tfrecord"))
    first, second = map(str, summary.issues)
    assert first.startswith(f"{path}, row 21: expected a serialized tf.Example, found")
    assert second.startswith(
        f"{path}, row 22, column 'price': expected this column, found age_group"
    )


def test_empty_cells_and_nulls_are_the_same(tmp_path, make_spec, run_ingest, rows):
    empty = {"gender": "", "genres": [], "price": ""}
    null = {"gender": None, "genres": None, "price": None}
    blank, none = row(41, genres=["", " a "]), row(41, genres=[None, " a "])
    write_csv(tmp_path / "rows.csv", [*rows, row(40, **empty), blank])
    write_parquet(tmp_path / "rows.parquet", [*rows, row(40, **null), none])
    splits, summary = run_ingest(make_spec())
    for output in tmp_path.glob("*-of-*"):
        output.unlink()
    others, _ = run_ingest(make_spec("parquet"))
    assert summary.issue_count == 0
    assert splits == others

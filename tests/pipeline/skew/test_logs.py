"""Which rows a request log gives, and what is told of the rest."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from midpg_tf.names import safe_name
from midpg_tf.spec import DatasetSpec, ExampleEncoder
from pipeline.skew.logs import LogError, extract, find_logs
from serving.embedded.metrics import Metrics
from serving.embedded.request_log import LogFiles, RequestLog
from serving.model_config import LogConfig


@pytest.fixture
def read(spec, tmp_path):
    """Extracts, and gives the outcome with the examples that were written."""

    def read(*files):
        found = extract(list(files), spec, "shop", tmp_path)
        outputs = [str(answered.file) for answered in found.versions.values()]
        records = tf.data.TFRecordDataset(outputs, "GZIP").as_numpy_iterator()
        examples = [tf.train.Example.FromString(record) for record in records]
        assert len(examples) == sum(rows_by_version(found).values())
        return found, examples

    return read


def rows_by_version(found):
    return {version: one.rows for version, one in found.versions.items()}


def parsed(examples):
    return [tf.train.Example.FromString(example) for example in examples]


def test_a_prefix_means_the_complete_files(tmp_path):
    for name in ("m-2-0.tfrecord", "m-1-0.tfrecord", "m-3-0.tfrecord.part", "other"):
        (tmp_path / name).touch()

    expected = [tmp_path / "m-1-0.tfrecord", tmp_path / "m-2-0.tfrecord"]
    assert find_logs(str(tmp_path / "m")) == expected
    assert find_logs(str(tmp_path / "m-[12]*")) == expected
    assert find_logs(str(expected[0])) == expected[:1]
    # A file that nobody writes to any more can be named.
    assert find_logs(str(tmp_path / "*.part")) == [tmp_path / "m-3-0.tfrecord.part"]


def test_no_files(tmp_path):
    message = f"{tmp_path}/m-*.tfrecord: expected log files, found none"
    with pytest.raises(LogError, match=f"^{re.escape(message)}$"):
        find_logs(str(tmp_path / "m"))
    (tmp_path / "m-1-0.tfrecord.part").touch()
    with pytest.raises(LogError, match="found none, but 1 being written; a file is"):
        find_logs(str(tmp_path / "m"))


def test_examples_of_predict(
    read, predict_log, write_records, encode, make_rows, tmp_path
):
    rows = make_rows(5)
    file = write_records(
        tmp_path / "log", predict_log(rows[:3]), predict_log(rows[3:], version=8)
    )

    found, examples = read(file)

    assert examples == parsed(encode(rows))
    assert found.notes == []
    assert rows_by_version(found) == {7: 3, 8: 2}


def test_requests_of_a_scenario_count_by_their_effective_number(
    read, predict_log, write_records, make_rows, tmp_path
):
    def of(*scenarios):
        rows = make_rows(len(scenarios))
        fields = (
            dict(zip(("channel", "device"), s.split("/"), strict=True))
            for s in scenarios
        )
        return predict_log([row | own for row, own in zip(rows, fields, strict=True)])

    file = write_records(
        tmp_path / "log",
        of("web/desk", "web/desk", "web/desk"),
        of("web/desk", "app/desk"),
        of(),
        predict_log(make_rows(1), model="other"),
        predict_log([row | {"channel": "app"} for row in make_rows(1)], version=8),
    )
    found, _ = read(file)
    assert rows_by_version(found) == {7: 5, 8: 1}
    assert found.versions[7].requests == {
        "overall": 25 / 13,  # 3 and 2 rows
        "web/desk": 16 / 10,  # 3 and 1
        "app/desk": 1,
    }
    assert found.versions[8].requests["overall"] == 1


def test_what_a_server_writes(read, predict_log, encode, make_rows, tmp_path):
    rows = make_rows(4)
    log = RequestLog(Metrics(), LogFiles(2**20, 600.0), ())
    log.start()
    log.add(
        LogConfig(str(tmp_path / "m"), 1.0),
        "Predict",
        predict_log(rows).predict_log.request,
        predict_pb2.PredictResponse(),
        SimpleNamespace(name="shop", version=3),
    )
    log.stop()

    found, examples = read(*find_logs(str(tmp_path / "m")))

    assert examples == parsed(encode(rows))
    assert rows_by_version(found) == {3: 4}


@pytest.mark.parametrize("item", ["item", "item id"])
def test_a_tensor_a_feature(content, write_records, make_rows, tmp_path, item):
    content["features"][item] = content["features"].pop("item")
    content["gates"]["resample_by"] = item
    spec = DatasetSpec.model_validate(content)
    rows = [
        row | {item: row["item"], "tags": tags}
        for row, tags in zip(make_rows(3), (["x", "y"], [], ["z"]), strict=True)
    ]
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.model_spec.name = "shop"
    for name in ("channel", "device", item):
        values = tf.make_tensor_proto([row[name] for row in rows])
        log.predict_log.request.inputs[safe_name(name)].CopyFrom(values)
    log.predict_log.request.inputs["price"].CopyFrom(
        tf.make_tensor_proto([row["price"] for row in rows], tf.float32)
    )
    log.predict_log.request.inputs["tags"].CopyFrom(
        tf.make_tensor_proto([["x", "y"], ["", ""], ["z", ""]])
    )

    found = extract([write_records(tmp_path / "log", log)], spec, "shop", tmp_path)

    assert (rows_by_version(found), found.notes) == ({0: 3}, [])
    encoder = ExampleEncoder(spec)
    output = str(found.versions[0].file)
    records = tf.data.TFRecordDataset(output, "GZIP").as_numpy_iterator()
    assert parsed(records) == [encoder.encode(row) for row in rows]


@pytest.mark.parametrize("kind", ["regress_log", "classify_log", "multi_inference_log"])
def test_examples_with_a_context(
    read, write_records, encode, make_rows, tmp_path, kind
):
    rows = [row | {"channel": "web", "device": "desk"} for row in make_rows(3)]
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.model_spec.name = "shop"
    listed = getattr(log, kind).request.input.example_list_with_context
    for name in ("channel", "device"):
        value = rows[0][name].encode()
        listed.context.features.feature[name].bytes_list.value.append(value)
    for example in parsed(encode(rows)):
        for name in ("channel", "device"):
            del example.features.feature[name]
        listed.examples.append(example)

    _, examples = read(write_records(tmp_path / "log", log))

    assert examples == parsed(encode(rows))


def test_requests_of_others_are_counted(
    read, predict_log, write_records, make_rows, tmp_path
):
    rows = make_rows(2)
    strange = prediction_log_pb2.PredictionLog()
    strange.log_metadata.model_spec.name = "shop"
    strange.predict_log.request.inputs["price"].CopyFrom(tf.make_tensor_proto([1.0]))
    without_a_scenario, none = predict_log(rows), predict_log(rows)
    for log, example in ((without_a_scenario, b""), (none, b"\xff")):
        tensor = tf.make_tensor_proto([example])
        log.predict_log.request.inputs["examples"].CopyFrom(tensor)
    file = write_records(
        tmp_path / "log",
        predict_log(rows, model="other"),
        strange,
        without_a_scenario,
        none,
        predict_log(rows),
        predict_log(rows, model="other"),
    )

    found, examples = read(file)

    assert len(examples) == 2
    assert found.notes == [
        "2 requests to the model other were left out",
        "3 requests that aren't of the data-set file's features were left out",
    ]


def cut_off(content):
    return content[:-5]


def flipped(content):
    middle = len(content) - 20
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut_off, flipped])
def test_a_damaged_file_gives_the_rows_before(
    read, predict_log, write_records, make_rows, tmp_path, damage
):
    whole = write_records(tmp_path / "whole", predict_log(make_rows(1)))
    broken = write_records(
        tmp_path / "broken", *(predict_log(make_rows(2)) for _ in range(2))
    )
    broken.write_bytes(damage(broken.read_bytes()))

    found, examples = read(broken, whole)

    assert len(examples) == 3
    (note,) = found.notes
    assert note.startswith(f"{broken}: expected whole records, found 1, and then ")
    assert note.endswith("; the rest was left out")
    assert "\n" not in note


def test_a_file_that_is_none(read, predict_log, write_records, make_rows, tmp_path):
    text = tmp_path / "text"
    text.write_text("no log at all")
    others = write_records(tmp_path / "others", b"\xff\xff")
    whole = write_records(tmp_path / "whole", predict_log(make_rows(1)))

    found, examples = read(text, others, whole)

    assert len(examples) == 1
    assert found.notes[0].startswith(f"{text}: expected whole records, found 0, and")
    assert found.notes[1] == (
        f"{others}: expected PredictionLog records, found something else as record 1;"
        " it and the rest were left out"
    )


def test_no_rows_at_all(read, predict_log, write_records, make_rows, tmp_path):
    file = write_records(tmp_path / "log", predict_log(make_rows(1), model="other"))
    with pytest.raises(LogError) as caught:
        read(file)
    assert str(caught.value) == (
        f"1 log files from {file} on: expected requests to the model shop, found none\n"
        "1 requests to the model other were left out"
    )


def test_progress_is_told(spec, predict_log, write_records, make_rows, tmp_path):
    files = [
        write_records(tmp_path / name, predict_log(make_rows(count)))
        for name, count in (("a", 2), ("b", 3))
    ]
    told = []
    extract(files, spec, "shop", tmp_path, told.append)
    assert told == [2, 5]

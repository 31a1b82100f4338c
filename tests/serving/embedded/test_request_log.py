"""The sample of requests in files, over a real port."""

from __future__ import annotations

import datetime
import itertools
import math
import re
import resource
import shutil
import threading
import time
from types import SimpleNamespace

import grpc
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from serving.embedded import request_log
from serving.embedded.metrics import Metrics
from serving.embedded.request_log import LogFiles, RequestLog
from serving.embedded.server import ModelServer
from serving.errors import ServingError
from serving.model_config import LogConfig
from serving.process import ServerProcess


@pytest.fixture
def config(models, publish, tmp_path, entry, write_config):
    """Writes a configuration of the model m, which is logged."""
    publish(models.half_plus_two, tmp_path / "m", 3)
    publish(models.examples, tmp_path / "examples", 1)

    def write(rate=1.0, prefix=tmp_path / "logs" / "m", more="", name="m"):
        logged = (
            f'logging_config {{ log_collector_config {{ filename_prefix: "{prefix}"'
            f" {more} }} sampling_config {{ sampling_rate: {rate} }} }}"
        )
        path = tmp_path / "models.config"
        return str(write_config(path, entry(tmp_path, name, extra=logged)))

    return write


@pytest.fixture
def start(serve, connect):
    def start(config, **options):
        server = serve(model_config_file=config, **options)
        return SimpleNamespace(server=server, **vars(connect(server.target)))

    return start


def read(folder):
    """The records of the complete files, in order."""
    return [
        prediction_log_pb2.PredictionLog.FromString(record)
        for file in sorted(folder.glob("*.tfrecord"))
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    ]


def metric(server, status, model="m"):
    page = requests.get(f"http://127.0.0.1:{server.rest_port}/figures", timeout=10).text
    name = ":tensorflow:serving:request_log_count"
    labels = f'{{model_name="{model}",status_code="{status}"}}'
    found = re.search(re.escape(name + labels) + r" ([0-9.]+)", page)
    return float(found[1]) if found else 0.0


@pytest.fixture
def figures(tmp_path):
    path = tmp_path / "monitoring"
    path.write_text('prometheus_config { enable: true path: "/figures" }')
    return {"rest_api_port": -1, "monitoring_config_file": str(path)}


def test_a_record_has_request_answer_and_origin(
    config, start, predict_request, tmp_path
):
    before = int(time.time())
    stubs = start(config(), saved_model_tags="serve")
    request = predict_request({"x": [1.0, 2.0]})
    response = stubs.predictions.Predict(request, timeout=10)

    stubs.server.stop()

    (record,) = read(tmp_path / "logs")
    assert record.predict_log.request == request
    assert record.predict_log.response == response
    metadata = record.log_metadata
    assert metadata.model_spec.name == "m"
    assert metadata.model_spec.version.value == 3
    assert metadata.model_spec.signature_name == "serving_default"
    assert metadata.sampling_config.sampling_rate == 1.0
    assert list(metadata.saved_model_tags) == ["serve"]
    assert before <= metadata.timestamp_secs <= time.time()


def test_files_are_named_by_prefix_and_time(config, start, predict_request, tmp_path):
    stubs = start(config())
    stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)
    stubs.server.stop()

    (file,) = (tmp_path / "logs").iterdir()
    assert re.fullmatch(r"m-\d{8}T\d{6}-0\.tfrecord", file.name)


def test_every_method_is_written(config, start, tmp_path):
    stubs = start(config(name="examples"))
    regress = regression_pb2.RegressionRequest()
    classify = classification_pb2.ClassificationRequest()
    multi = inference_pb2.MultiInferenceRequest()
    for request, name in ((regress, "regress"), (classify, "classify"), (multi, "")):
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(1.0)
        if name:
            request.model_spec.name = "examples"
            request.model_spec.signature_name = name
    task = multi.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.name = "examples"
    task.model_spec.signature_name = "regress"
    stubs.predictions.Regress(regress, timeout=10)
    stubs.predictions.Classify(classify, timeout=10)
    stubs.predictions.MultiInference(multi, timeout=10)

    stubs.server.stop()

    found = read(tmp_path / "logs")
    assert [record.WhichOneof("log_type") for record in found] == [
        "regress_log",
        "classify_log",
        "multi_inference_log",
    ]
    assert found[0].regress_log.request == regress
    assert found[0].regress_log.response.result.regressions[0].value == 1.5
    assert found[1].classify_log.request == classify
    assert found[2].multi_inference_log.request == multi
    assert {record.log_metadata.model_spec.name for record in found} == {"examples"}
    assert {record.log_metadata.model_spec.version.value for record in found} == {1}


def test_rest_is_written_too_and_what_fails_is_not(
    config, start, predict_request, tmp_path
):
    stubs = start(config(), rest_api_port=-1)
    url = f"http://127.0.0.1:{stubs.server.rest_port}/v1/models/m:predict"
    assert requests.post(url, json={"instances": [4]}, timeout=10).status_code == 200
    assert requests.post(url, json={"instances": ["x"]}, timeout=10).status_code == 400
    with pytest.raises(grpc.RpcError):
        stubs.predictions.Predict(predict_request({"q": [1.0]}), timeout=10)

    stubs.server.stop()

    (record,) = read(tmp_path / "logs")
    assert list(record.predict_log.request.inputs["x"].float_val) == [4.0]
    assert list(record.predict_log.response.outputs["y"].float_val) == [4.0]


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_a_share_of_the_requests_is_drawn(
    config, start, predict_request, tmp_path, rate
):
    stubs = start(config(rate))
    count = 400
    for number in range(count):
        stubs.predictions.Predict(predict_request({"x": [float(number)]}), timeout=10)
    stubs.server.stop()

    found = read(tmp_path / "logs")
    # Five standard deviations of the binomial distribution.
    assert abs(len(found) - rate * count) <= 5 * math.sqrt(count * rate * (1 - rate))
    drawn = [record.predict_log.request.inputs["x"].float_val[0] for record in found]
    assert len(set(drawn)) == len(drawn)


def test_a_file_is_completed_at_its_size(
    config, start, predict_request, tmp_path, eventually
):
    stubs = start(config(), request_log_max_bytes=1000)
    folder = tmp_path / "logs"
    for number in range(30):
        stubs.predictions.Predict(predict_request({"x": [float(number)]}), timeout=10)
    eventually(lambda: len(list(folder.glob("*.tfrecord"))) > 2)
    largest = max(len(record.SerializeToString()) for record in read(folder))
    sizes = [file.stat().st_size for file in folder.glob("*.tfrecord")]
    # The record that reaches the size is the last one.
    assert min(sizes) >= 1000
    assert max(sizes) < 1000 + largest + 16

    stubs.server.stop()

    values = [r.predict_log.request.inputs["x"].float_val[0] for r in read(folder)]
    assert sorted(values) == [float(number) for number in range(30)]
    assert not list(folder.glob("*.part"))


def test_a_file_is_completed_at_its_age(
    config, start, predict_request, tmp_path, eventually
):
    stubs = start(config(), request_log_max_seconds=1.0)
    stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)

    folder = tmp_path / "logs"
    eventually(lambda: list(folder.glob("*.part")))
    assert not list(folder.glob("*.tfrecord"))
    eventually(lambda: list(folder.glob("*.tfrecord")))
    assert len(read(folder)) == 1
    assert not list(folder.glob("*.part"))


def test_two_servers_share_a_prefix(config, start, predict_request, tmp_path):
    path = config()
    servers = [start(path, request_log_max_bytes=1) for _ in range(2)]
    for number in range(20):
        request = predict_request({"x": [float(number)]})
        servers[number % 2].predictions.Predict(request, timeout=10)
    for stubs in servers:
        stubs.server.stop()

    values = [
        r.predict_log.request.inputs["x"].float_val[0] for r in read(tmp_path / "logs")
    ]
    assert sorted(values) == [float(number) for number in range(20)]


def test_a_reload_turns_it_on_and_off(config, start, predict_request, tmp_path):
    from serving.embedded.config_watcher import read_models

    stubs = start(config(0.0))
    for value, rate in ((1.0, 1.0), (2.0, 0.0)):
        stubs.server.models.reload(read_models(config(rate)))
        stubs.predictions.Predict(predict_request({"x": [value]}), timeout=10)
    stubs.server.stop()

    (record,) = read(tmp_path / "logs")
    assert list(record.predict_log.request.inputs["x"].float_val) == [1.0]


def test_a_path_that_cannot_be_written_harms_nobody(
    config, start, predict_request, tmp_path, figures, caplog, eventually, monkeypatch
):
    monkeypatch.setattr(request_log, "RETRY_SECONDS", 0.2)
    (tmp_path / "logs").write_text("a file where the folder should be")
    stubs = start(config(), **figures)

    for _ in range(5):
        stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)

    eventually(lambda: metric(stubs.server, "UNAVAILABLE") == 5)
    assert caplog.text.count("can't be written to") == 1
    # Once it can be written again, it goes on.
    (tmp_path / "logs").unlink()
    time.sleep(0.25)
    stubs.predictions.Predict(predict_request({"x": [2.0]}), timeout=10)
    eventually(lambda: metric(stubs.server, "OK") == 1)
    stubs.server.stop()
    assert len(read(tmp_path / "logs")) == 1


def test_a_full_queue_drops_and_counts(tmp_path, predict_request, monkeypatch):
    monkeypatch.setattr(request_log, "MAX_WAITING", 3)
    metrics = Metrics()
    # Not started: nothing is taken out of the queue yet.
    log = RequestLog(metrics, LogFiles(2**20, 600.0), ())
    config = LogConfig(str(tmp_path / "m"), 1.0)
    request = predict_request({"x": [1.0]})
    servable = SimpleNamespace(name="m", version=1)
    started = time.monotonic()
    for _ in range(10):
        log.add(config, "Predict", request, predict_pb2.PredictResponse(), servable)
    assert time.monotonic() - started < 1
    assert b'status_code="RESOURCE_EXHAUSTED"} 7.0' in metrics.page()

    log.start()
    log.stop()

    assert len(read(tmp_path)) == 3
    assert b'status_code="OK"} 3.0' in metrics.page()


@pytest.fixture
def log(tmp_path, predict_request):
    """Makes logs; `add` gives one an answer, `counted` looks at its counts."""
    logs = []

    def make(max_bytes=2**20, max_seconds=600.0):
        metrics = Metrics()
        log = RequestLog(metrics, LogFiles(max_bytes, max_seconds), ())
        logs.append(log)
        request = predict_request({"x": [1.0]})
        servable = SimpleNamespace(name="m", version=1)

        def add(prefix="m"):
            config = LogConfig(str(tmp_path / "logs" / prefix), 1.0)
            response = predict_pb2.PredictResponse()
            log.add(config, "Predict", request, response, servable)

        def counted(status, number):
            return f'status_code="{status}"}} {number:.1f}'.encode() in metrics.page()

        return SimpleNamespace(add=add, counted=counted, start=log.start, stop=log.stop)

    yield make
    for log in logs:
        log.stop()


@pytest.fixture
def clock(monkeypatch):
    """What time it is for the log, in seconds."""
    clock = SimpleNamespace(now=1000.0)
    own = vars(time) | {"monotonic": lambda: clock.now}
    monkeypatch.setattr(request_log, "time", SimpleNamespace(**own))
    return clock


def test_a_path_that_cannot_be_written_is_tried_twice_a_minute(
    log, clock, tmp_path, eventually, caplog
):
    folder = tmp_path / "logs"
    folder.write_text("a file where the folder should be")
    log = log(max_bytes=1)
    log.start()

    log.add()
    eventually(lambda: log.counted("UNAVAILABLE", 1))
    clock.now += 31
    log.add()
    eventually(lambda: log.counted("UNAVAILABLE", 2))
    folder.unlink()
    # The second failure counts from its own moment.
    clock.now += 29
    log.add()
    eventually(lambda: log.counted("UNAVAILABLE", 3))
    clock.now += 2
    log.add()
    eventually(lambda: log.counted("OK", 1))
    assert caplog.text.count("can't be written to") == 1

    # Another failure is told anew.
    eventually(lambda: list(folder.glob("*.tfrecord")))
    shutil.rmtree(folder)
    folder.write_text("a file again")
    log.add()
    eventually(lambda: log.counted("UNAVAILABLE", 4))
    assert caplog.text.count("can't be written to") == 2


def test_nothing_is_left_of_a_file_that_the_disk_had_no_room_for(
    log, tmp_path, monkeypatch
):
    def refuse(self):
        raise tf.errors.ResourceExhaustedError(None, None, "no space left on device")

    monkeypatch.setattr(tf.io.TFRecordWriter, "flush", refuse)
    log = log()
    for _ in range(3):
        log.add()
    log.start()
    log.stop()

    assert log.counted("UNAVAILABLE", 3)
    assert list((tmp_path / "logs").iterdir()) == []


@pytest.mark.slow
def test_each_file_is_completed_at_its_own_age(log, tmp_path, eventually):
    log = log(max_seconds=3.0)
    log.start()
    log.add("old")
    time.sleep(2.0)
    log.add("young")

    eventually(lambda: list((tmp_path / "logs").glob("old*.tfrecord")))

    assert not list((tmp_path / "logs").glob("young*.tfrecord"))
    eventually(lambda: list((tmp_path / "logs").glob("young*.tfrecord")))


def test_a_file_that_is_overdue_ends_nothing(log, clock, tmp_path, monkeypatch):
    # A second passes at each look: what waits takes longer than the file may.
    seconds = itertools.count()
    monkeypatch.setattr(request_log.time, "monotonic", lambda: float(next(seconds)))
    log = log(max_seconds=10.0)
    log.add("quiet")
    for _ in range(30):
        log.add("busy")

    log.start()
    log.stop()

    assert len(read(tmp_path / "logs")) == 31


@pytest.fixture
def far_east(monkeypatch):
    """A time zone nine hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EAST-9")
        time.tzset()
        yield
    time.tzset()


def test_a_file_bears_the_time_in_utc(log, tmp_path, far_east):
    log = log()
    log.add()
    log.start()
    log.stop()

    (file,) = (tmp_path / "logs").iterdir()
    moment = datetime.datetime.strptime(file.name[2:17], "%Y%m%dT%H%M%S")
    age = time.time() - moment.replace(tzinfo=datetime.UTC).timestamp()
    assert 0 <= age < 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 1.5}, "sampling_rate from 0 to 1, found 1.5"),
        ({"rate": -0.1}, "sampling_rate from 0 to 1, found -0.1"),
        ({"prefix": ""}, "expected log_collector_config.filename_prefix, found none"),
        (
            {"prefix": "gs://bucket/requests"},
            "expected a local path as log_collector_config.filename_prefix, found gs://",
        ),
        ({"more": 'type: "kafka"'}, "log_collector_config.type tfrecord, found kafka"),
    ],
)
def test_an_illegal_configuration_is_told(config, changes, message):
    with pytest.raises(ServingError, match=re.escape(message)) as caught:
        ModelServer(model_config_file=config(**changes))
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def process(config, tmp_path):
    """A server whose versions run in processes of their own."""
    (tmp_path / "monitoring").write_text(
        'prometheus_config { enable: true path: "/figures" }'
    )
    with ServerProcess(
        model_name="m",
        model_base_path="",
        arguments=[
            f"--model_config_file={config()}",
            "--isolate_models=true",
            "--rest_api_port=-1",
            f"--monitoring_config_file={tmp_path / 'monitoring'}",
        ],
    ) as process:
        yield process


@pytest.mark.e2e
def test_sigterm_completes_the_file_of_an_isolated_model(
    process, connect, predict_request, tmp_path
):
    stubs = connect(process.target).predictions
    threads = [
        threading.Thread(
            target=lambda: [
                stubs.Predict(predict_request({"x": [1.0]}), timeout=10)
                for _ in range(50)
            ]
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert process.stop() == 0

    assert len(read(tmp_path / "logs")) == 200
    assert not list((tmp_path / "logs").glob("*.part"))


@pytest.mark.e2e
def test_a_full_disk_harms_nobody(
    process, connect, predict_request, tmp_path, eventually
):
    stubs = connect(process.target).predictions
    request = predict_request({"x": [1.0]})
    stubs.Predict(request, timeout=10)
    port = SimpleNamespace(rest_port=process.rest_target.rsplit(":", 1)[1])
    eventually(lambda: metric(port, "OK") == 1)
    # The system refuses to let any file of the process grow.
    pid = process._process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    for _ in range(50):
        stubs.Predict(request, timeout=10)

    eventually(lambda: metric(port, "OK") + metric(port, "UNAVAILABLE") == 51)
    assert metric(port, "UNAVAILABLE") > 0
    written = metric(port, "OK")
    assert process.stop() == 0
    assert process.stderr().count("can't be written to") == 1
    # What is there can be read, without a record that was cut off.
    assert len(read(tmp_path / "logs")) == written

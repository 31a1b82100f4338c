"""The warm-up requests of a SavedModel."""

import grpc
import pytest
from tensorflow_serving.apis import prediction_log_pb2

from serving.embedded.model import LoadedModel, ModelOptions
from serving.embedded.warmup import warm_up
from serving.errors import ServingError


@pytest.fixture
def path(models, publish, tmp_path):
    return publish(models.half_plus_two, tmp_path, 1)


def error_of(path):
    with pytest.raises(ServingError) as caught:
        warm_up(str(path), lambda method, request: None)
    return caught.value


def test_each_request_is_run(path, write_warmup, predict_request):
    write_warmup(path, *(predict_request({"x": [float(i)]}) for i in range(3)))
    run = []

    assert warm_up(str(path), lambda method, request: run.append(request)) == 3
    assert [list(request.inputs["x"].float_val) for request in run] == [[0], [1], [2]]


def test_requests_of_every_method_are_run(models, publish, write_warmup, tmp_path):
    logs = []
    for kind, signature in (("classify_log", "classify"), ("regress_log", "regress")):
        log = prediction_log_pb2.PredictionLog()
        request = getattr(log, kind).request
        request.model_spec.signature_name = signature
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(1.0)
        logs.append(log)
    both = prediction_log_pb2.PredictionLog()
    request = both.multi_inference_log.request
    request.input.CopyFrom(logs[0].classify_log.request.input)
    for method in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = "m"
        task.model_spec.signature_name = method
    path = publish(models.examples, tmp_path, 1)
    write_warmup(path, *logs, both)

    model = LoadedModel(str(path), ModelOptions())

    assert model.warmup_records == 3
    model.close()


@pytest.mark.parametrize("kind", ["classify_log", "regress_log"])
def test_examples_that_fail_fail_the_load(
    models, publish, write_warmup, tmp_path, kind
):
    log = prediction_log_pb2.PredictionLog()
    request = getattr(log, kind).request
    request.model_spec.signature_name = kind.removesuffix("_log")
    request.input.example_list.examples.add()  # without the feature x
    path = publish(models.examples, tmp_path, 1)
    write_warmup(path, log)

    with pytest.raises(ServingError, match=r"Feature: x .* is required") as caught:
        LoadedModel(str(path), ModelOptions())
    assert "record 1 of" in caught.value.message


def test_a_model_without_requests(path):
    assert warm_up(str(path), lambda method, request: None) == 0


def test_a_record_without_a_log_is_passed_over(path, write_warmup):
    write_warmup(path, prediction_log_pb2.PredictionLog())
    run = []

    assert warm_up(str(path), lambda method, request: run.append(request)) == 1
    assert run == []


def test_a_thousand_records_are_the_most(path, write_warmup):
    log = prediction_log_pb2.PredictionLog()
    write_warmup(path, *[log] * 1000)
    assert warm_up(str(path), lambda method, request: None) == 1000

    write_warmup(path, *[log] * 1001)
    error = error_of(path)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "Number of warmup records exceeds the maximum (1000)" in error.message


def test_a_record_that_is_no_prediction_log(path, write_warmup):
    write_warmup(path, b"\xff\xff\xff")

    error = error_of(path)

    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.message.startswith("Failed to parse warmup record")


def test_a_kind_that_is_not_served(path, write_warmup):
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.SetInParent()
    write_warmup(path, log)

    error = error_of(path)

    assert error.code is grpc.StatusCode.UNIMPLEMENTED
    assert "Unsupported log_type for warmup: session_run_log" in error.message


def test_a_file_that_is_no_tfrecord(path, write_warmup):
    write_warmup(path).write_bytes(b"certainly no TFRecord file")

    error = error_of(path)

    assert error.code is grpc.StatusCode.DATA_LOSS
    assert "verify your warmup data is in TFRecord format" in error.message


def test_a_file_that_cannot_be_read(path):
    (path / "assets.extra" / "tf_serving_warmup_requests").mkdir(parents=True)

    error = error_of(path)

    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert "Is a directory" in error.message


def test_a_failing_request_fails_the_load(path, write_warmup, predict_request):
    write_warmup(
        path,
        predict_request({"x": [1.0]}, signature="fail"),
        predict_request({"x": [11.0]}, signature="fail"),
    )

    with pytest.raises(ServingError, match="too large") as caught:
        LoadedModel(str(path), ModelOptions())
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "record 2 of" in caught.value.message

    unwarmed = LoadedModel(str(path), ModelOptions(enable_warmup=False))
    assert unwarmed.warmup_records == 0
    unwarmed.close()

"""Services: each method of PredictionService and ModelService, and gRPC's health."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    regression_pb2,
)

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("surface")]


def fill(request, *values):
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


def test_predict(stubs, predict_request):
    request = predict_request({"x": [1.0, 2.0]}, version=1)

    response = stubs.predictions.Predict(request, timeout=10)

    assert list(response.outputs["y"].float_val) == [2.5, 3.0]
    assert response.model_spec.name == "m"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"


def test_predict_of_some_outputs(stubs, predict_request):
    request = predict_request({"x": [4.0]}, version=1, outputs=("x_int",))

    response = stubs.predictions.Predict(request, timeout=10)

    assert set(response.outputs) == {"x_int"}
    assert list(response.outputs["x_int"].int64_val) == [4]


def test_classify(stubs):
    request = fill(classification_pb2.ClassificationRequest(), 1.0, 3.0)
    request.model_spec.name = "examples"
    request.model_spec.signature_name = "classify"

    response = stubs.predictions.Classify(request, timeout=10)

    assert [
        [(entry.label, entry.score) for entry in row.classes]
        for row in response.result.classifications
    ] == [[("low", 1.0), ("high", -1.0)], [("low", 3.0), ("high", -3.0)]]
    assert response.model_spec.version.value == 1


def test_regress(stubs):
    request = fill(regression_pb2.RegressionRequest(), 1.0, 3.0)
    request.model_spec.name = "examples"
    request.model_spec.signature_name = "regress"

    response = stubs.predictions.Regress(request, timeout=10)

    assert [row.value for row in response.result.regressions] == [1.5, 2.5]


def test_multi_inference(stubs):
    request = fill(inference_pb2.MultiInferenceRequest(), 1.0)
    for method in ("regress", "classify"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = "examples"
        task.model_spec.signature_name = method

    response = stubs.predictions.MultiInference(request, timeout=10)

    value, classes = response.results
    assert [row.value for row in value.regression_result.regressions] == [1.5]
    (row,) = classes.classification_result.classifications
    assert [entry.score for entry in row.classes] == [1.0, -1.0]


def test_get_model_metadata(stubs):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    request.model_spec.name = "m"

    response = stubs.predictions.GetModelMetadata(request, timeout=10)

    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def["add"].inputs) == {"left", "right"}
    assert response.model_spec.version.value == 2


def test_get_model_status(stubs, states):
    assert states(stubs, "m") == {1: 30, 2: 30}


def test_handle_reload_config(stubs, entries, reload, score):
    response = reload(stubs, *entries.values())

    assert response.status.error_code == 0
    assert score(stubs, "m") == 3


def health(target, service=""):
    request = health_pb2.HealthCheckRequest(service=service)
    with grpc.insecure_channel(target) as channel:
        return health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status


def test_health_is_behind_a_flag(server, error_of):
    code, _ = error_of(health, server.target)

    assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("service", ["", "ModelService", "PredictionService"])
def test_health_by_its_flag(flagged, service):
    status = health(flagged.server.target, service)

    assert status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_a_service_that_is_not_there(flagged, error_of):
    code, _ = error_of(health, flagged.server.target, "x")

    assert code is grpc.StatusCode.NOT_FOUND

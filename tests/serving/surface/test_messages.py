"""Messages that clients match on, with their codes, over gRPC and REST."""

import grpc
import pytest
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("surface")]

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

PREDICTIONS = {
    "Predict": predict_pb2.PredictRequest,
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": regression_pb2.RegressionRequest,
}


@pytest.mark.parametrize(
    ("model", "version", "what"),
    [
        pytest.param("q", None, "Latest(q)", id="model"),
        pytest.param("q", 1, "Specific(q, 1)", id="version-of-no-model"),
        pytest.param("m", 9, "Specific(m, 9)", id="version"),
        pytest.param("latest", 1, "Specific(latest, 1)", id="version-not-wanted"),
    ],
)
def test_servable_not_found(
    server, stubs, predict_request, error_of, rest_error, model, version, what
):
    request = predict_request({"x": [1.0]}, model=model, version=version)
    message = f"Servable not found for request: {what}"

    assert error_of(stubs.predictions.Predict, request) == (NOT_FOUND, message)
    path = model if version is None else f"{model}/versions/{version}"
    answer = server.rest(f"/v1/models/{path}:predict", {"instances": [1]})
    assert rest_error(answer) == (404, message)


def test_metadata_of_no_model(server, stubs, error_of, rest_error):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    request.model_spec.name = "q"
    message = "Servable not found for request: Latest(q)"

    assert error_of(stubs.predictions.GetModelMetadata, request) == (NOT_FOUND, message)
    assert rest_error(server.rest("/v1/models/q/metadata")) == (404, message)


@pytest.mark.parametrize("method", PREDICTIONS)
def test_unrecognized_label(server, stubs, error_of, rest_error, method):
    request = PREDICTIONS[method]()
    request.model_spec.name = "m"
    request.model_spec.version_label = "x"
    message = "Unrecognized servable version label: x"

    assert error_of(getattr(stubs.predictions, method), request) == (INVALID, message)
    body = {"instances": [1], "examples": [{"x": 1.0}]}
    answer = server.rest(f"/v1/models/m/labels/x:{method.lower()}", body)
    assert rest_error(answer) == (400, message)


def test_predict_of_an_unknown_signature(
    server, stubs, predict_request, error_of, rest_error
):
    request = predict_request({"x": [1.0]}, signature="s")

    assert error_of(stubs.predictions.Predict, request) == (
        PRECONDITION,
        'Serving signature key "s" not found.',
    )
    body = {"signature_name": "s", "instances": [1]}
    assert rest_error(server.rest("/v1/models/m:predict", body)) == (
        400,
        'Serving signature name: "s" not found in signature def',
    )


@pytest.mark.parametrize("method", ["Classify", "Regress"])
def test_examples_for_an_unknown_signature(server, stubs, error_of, rest_error, method):
    request = PREDICTIONS[method]()
    request.model_spec.name = "examples"
    request.model_spec.signature_name = "s"
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(1.0)
    message = "No signature was found with the name: s"

    assert error_of(getattr(stubs.predictions, method), request) == (INVALID, message)
    body = {"signature_name": "s", "examples": [{"x": 1.0}]}
    answer = server.rest(f"/v1/models/examples:{method.lower()}", body)
    assert rest_error(answer) == (400, message)


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param({"left": [1.0]}, id="one-missing"),
        pytest.param({}, id="none"),
        pytest.param({"left": [1.0], "right": [1.0], "x": [1.0]}, id="one-too-many"),
    ],
)
def test_number_of_inputs(stubs, predict_request, error_of, inputs):
    code, message = error_of(
        stubs.predictions.Predict, predict_request(inputs, signature="add")
    )

    assert code is INVALID
    assert message.startswith(f"input size does not match signature: {len(inputs)}!=2 ")


def test_an_output_that_is_not_there(stubs, predict_request, error_of):
    request = predict_request({"x": [1.0]}, outputs=("z",))

    code, message = error_of(stubs.predictions.Predict, request)

    assert code is INVALID
    assert message.startswith("output tensor alias not found in signature: z")


@pytest.mark.parametrize("method", PREDICTIONS)
def test_no_model_spec(stubs, error_of, method):
    request = PREDICTIONS[method]()

    assert error_of(getattr(stubs.predictions, method), request) == (
        INVALID,
        "Missing ModelSpec",
    )


def test_no_model_spec_for_metadata_and_status(stubs, error_of):
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    status = get_model_status_pb2.GetModelStatusRequest()
    expected = INVALID, "Missing ModelSpec"

    assert error_of(stubs.predictions.GetModelMetadata, metadata) == expected
    assert error_of(stubs.models.GetModelStatus, status) == expected


@pytest.mark.parametrize("method", PREDICTIONS)
def test_no_name(stubs, error_of, method):
    request = PREDICTIONS[method]()
    request.model_spec.signature_name = "serving_default"

    assert error_of(getattr(stubs.predictions, method), request) == (
        INVALID,
        "ModelSpec has no name specified.",
    )


@pytest.mark.parametrize("method", ["Classify", "Regress"])
def test_no_examples(stubs, error_of, method):
    request = PREDICTIONS[method]()
    request.model_spec.name = "examples"
    request.model_spec.signature_name = method.lower()

    assert error_of(getattr(stubs.predictions, method), request) == (
        INVALID,
        "Input is empty.",
    )


def test_status_of_a_model_without_versions(server, stubs, error_of, rest_error):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "q"
    message = "Could not find any versions of model q"

    assert error_of(stubs.models.GetModelStatus, request) == (NOT_FOUND, message)
    assert rest_error(server.rest("/v1/models/q")) == (404, message)


@pytest.mark.parametrize("label", ["stable", "x"])
def test_status_ignores_a_label(server, stubs, label):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "m"
    request.model_spec.version_label = label

    found = stubs.models.GetModelStatus(request, timeout=10).model_version_status

    assert {entry.version for entry in found} == {1, 2}
    body = server.rest(f"/v1/models/m/labels/{label}").json()
    assert len(body["model_version_status"]) == 2

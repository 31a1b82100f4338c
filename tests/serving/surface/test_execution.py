"""Executing a SavedModel: fields of tensors, shapes, sessions, and C++ errors."""

import grpc
import numpy as np
import pytest
import tensorflow as tf

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("surface")]

INVALID = grpc.StatusCode.INVALID_ARGUMENT
# What the model types gives back, and the field for it.
TYPES = {
    "whole": (tf.int32, [7, -7], "int_val"),
    "wide": (tf.int64, [2**40, -1], "int64_val"),
    "double": (tf.float64, [0.1, -1e300], "double_val"),
    "flag": (tf.bool, [True, False], "bool_val"),
    "text": (tf.string, [b"a", b""], "string_val"),
    "data_bytes": (tf.string, [b"\xff\x00", b"b"], "string_val"),
}


@pytest.fixture
def outputs(stubs, predict_request):
    """Predicts and returns the tensors by alias."""

    def ask(inputs, **spec):
        request = predict_request(inputs, **spec)
        return stubs.predictions.Predict(request, timeout=10).outputs

    return ask


def test_values_come_in_the_field_of_their_type(outputs):
    inputs = {
        name: tf.make_tensor_proto(values, dtype)
        for name, (dtype, values, _) in TYPES.items()
    }
    # That they may be sent as bytes is nothing that an answer copies.
    assert inputs["wide"].tensor_content

    found = outputs(inputs, model="types")

    assert found.keys() == TYPES.keys()
    for name, (dtype, values, field) in TYPES.items():
        tensor = found[name]
        assert [entry.name for entry, _ in tensor.ListFields()] == [
            "dtype",
            "tensor_shape",
            field,
        ]
        assert tensor.dtype == dtype.as_datatype_enum
        assert [dim.size for dim in tensor.tensor_shape.dim] == [2]
        assert list(getattr(tensor, field)) == values


def test_floats_come_in_the_field_of_their_width(outputs):
    found = outputs({"x": [1.5, 2.0]}, version=1)
    assert list(found["y"].float_val) == [2.75, 3.0]
    assert not found["y"].tensor_content

    found = outputs({"x": [1.5]}, model="halves")
    assert list(found["half"].half_val) == [np.float16(1.5).view(np.uint16)]
    assert list(found["brain"].half_val) == [0x3FC0]
    assert not found["half"].tensor_content + found["brain"].tensor_content


def test_shapes_are_not_checked_before_the_run(outputs):
    # The signature has it that x is of one dimension, and the graph can do with two.
    found = outputs({"x": [[1.0, 2.0], [3.0, 4.0]]}, version=1)

    assert [dim.size for dim in found["y"].tensor_shape.dim] == [2, 2]
    assert list(found["y"].float_val) == [2.5, 3.0, 3.5, 4.0]


def test_each_version_has_a_session_of_its_own(outputs, example):
    row = {"examples": [example(x=1.0, kind="c")]}

    scores = [
        list(outputs(row, model="rankers", version=version)["score"].float_val)
        for version in (1, 2)
    ]

    # Their tables share a name; c is the third in one, and the first in the other.
    assert scores == [[3.0], [1.0]]


def test_float_is_spelled_as_in_cpp(server, stubs, predict_request, error_of):
    double = tf.make_tensor_proto([1.0], tf.float64)
    code, message = error_of(stubs.predictions.Predict, predict_request({"x": double}))
    assert code is INVALID
    assert message == "Expects arg[0] to be float but double is provided"

    answer = server.rest("/v1/models/m:predict", {"inputs": ["1"]})
    assert answer.status_code == 400
    assert (
        'JSON Value: "1" Type: String is not of expected type: float'
        in (answer.json()["error"])
    )


@pytest.mark.parametrize(
    ("signature", "value", "code", "message"),
    [
        pytest.param("read", "/", "FAILED_PRECONDITION", "/; ", id="directory"),
        pytest.param("read", "/absent", "NOT_FOUND", "/absent; ", id="absent"),
        pytest.param("unzip", "no zlib", "DATA_LOSS", "inflate() failed", id="no-zlib"),
        pytest.param(
            "write", "/dev/full", "RESOURCE_EXHAUSTED", "/dev/full", id="full"
        ),
        pytest.param("take_from_empty", 1.0, "OUT_OF_RANGE", "End of", id="empty"),
        pytest.param("add_to_closed", 1.0, "CANCELLED", "FIFOQueue", id="closed"),
        pytest.param("create_twice", 1.0, "ALREADY_EXISTS", "Resource", id="twice"),
    ],
)
def test_an_error_is_the_runtimes_own(
    stubs, predict_request, error_of, signature, value, code, message
):
    name = {"read": "path", "write": "path", "unzip": "content"}.get(signature, "x")
    tensors = {name: tf.make_tensor_proto(value)}
    request = predict_request(tensors, model="failures", signature=signature)

    found, text = error_of(stubs.predictions.Predict, request)

    assert found.name == code
    # Python would put words of its own in front.
    assert text.startswith(message)
    assert "{{node " in text


def test_the_message_of_an_assertion(stubs, predict_request, error_of):
    request = predict_request({"x": [11.0]}, signature="fail")

    code, message = error_of(stubs.predictions.Predict, request)

    assert code is INVALID
    assert message.startswith("assertion failed: [too large]")

"""Predict's validation and results, on a session in this process."""

import functools

import grpc
import numpy as np
import pytest
import tensorflow as tf

from serving.embedded.execution import Executor
from serving.embedded.predict import predict
from serving.embedded.session import SavedModelSession
from serving.errors import ServingError

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def affine(models):
    session = SavedModelSession(str(models.half_plus_two))
    executor = Executor(session)
    yield functools.partial(predict, session.signatures, executor)
    executor.close()
    session.close()


@pytest.fixture(scope="module")
def ranker(models):
    session = SavedModelSession(str(models.ranker))
    executor = Executor(session)
    yield functools.partial(predict, session.signatures, executor)
    executor.close()
    session.close()


def error_of(ask, request):
    with pytest.raises(ServingError) as caught:
        ask(request)
    return caught.value.code, caught.value.message


def test_all_outputs_are_returned_in_typed_fields(affine, predict_request):
    response = affine(predict_request({"x": [1.0, 2.0, 5.0]}))

    assert set(response.outputs) == {"y", "same", "x_int"}
    assert list(response.outputs["y"].float_val) == [2.5, 3.0, 4.5]
    assert list(response.outputs["same"].float_val) == [2.5, 3.0, 4.5]
    assert list(response.outputs["x_int"].int64_val) == [1, 2, 5]
    assert not response.outputs["y"].tensor_content
    assert response.model_spec.signature_name == "serving_default"


def test_the_output_filter_selects(affine, predict_request):
    response = affine(predict_request({"x": [2.0]}, outputs=("x_int",)))

    assert set(response.outputs) == {"x_int"}


def test_unknown_signature(affine, predict_request):
    assert error_of(affine, predict_request({"x": [1.0]}, signature="s")) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "s" not found.',
    )


def test_missing_input(affine, predict_request):
    assert error_of(affine, predict_request({"left": [1.0]}, signature="add")) == (
        INVALID,
        "input size does not match signature: 1!=2 len({left}) != len({left,right})."
        " Sent extra: {}. Missing but required: {right}.",
    )


def test_superfluous_input(affine, predict_request):
    assert error_of(affine, predict_request({"x": [1.0], "z": [1.0]})) == (
        INVALID,
        "input size does not match signature: 2!=1 len({x,z}) != len({x})."
        " Sent extra: {z}. Missing but required: {}.",
    )


def test_misnamed_input(affine, predict_request):
    code, message = error_of(affine, predict_request({"z": [1.0]}))

    assert code is INVALID
    assert message.startswith("Signature input alias: x(feed name: ")
    assert "inputs expected to be in the request {z}" in message.lower()


def test_unknown_and_repeated_output(affine, predict_request):
    assert error_of(affine, predict_request({"x": [1.0]}, outputs=("y", "q"))) == (
        INVALID,
        "output tensor alias not found in signature: q Outputs expected to be in the"
        " set {same,x_int,y}.",
    )
    assert error_of(affine, predict_request({"x": [1.0]}, outputs=("y", "y"))) == (
        INVALID,
        "duplicate output tensor alias: y",
    )


def test_wrong_type(affine, predict_request):
    code, message = error_of(
        affine, predict_request({"x": tf.make_tensor_proto(["text"])})
    )

    assert code is INVALID
    assert "string" in message
    assert "float" in message


def test_wrong_shape(affine, predict_request):
    request = predict_request({"left": [1.0, 2.0], "right": [1.0] * 3}, signature="add")
    code, message = error_of(affine, request)

    assert code is INVALID
    assert "ncompatible shapes: [2] vs. [3]" in message


def test_damaged_tensor(affine, predict_request):
    proto = tf.make_tensor_proto([1.0])
    proto.tensor_shape.dim[0].size = -5

    code, message = error_of(affine, predict_request({"x": proto}))

    assert code is INVALID
    assert message.startswith("tensor parsing error: x")


def test_failure_at_run_time_keeps_its_code(affine, predict_request):
    code, message = error_of(affine, predict_request({"x": [11.0]}, signature="fail"))

    assert code is INVALID
    assert "too large" in message


def test_examples_are_scored_with_the_table(ranker, predict_request, example):
    examples = [example(x=0.5, kind=kind) for kind in "ac?"]
    response = ranker(predict_request({"examples": examples}))

    assert list(response.outputs["score"].float_val) == [0.5, 2.5, 3.5]
    assert list(response.outputs["kind"].string_val) == [b"a", b"c", b"?"]


def test_no_examples_give_no_scores(ranker, predict_request):
    request = predict_request({"examples": np.array([], object)})
    response = ranker(request)

    assert response.outputs["score"].tensor_shape.dim[0].size == 0


@pytest.mark.parametrize("garbage", [b"garbage", b"\xff\xfe\x00\x9d", b"\xc3" * 5000])
def test_garbage_instead_of_an_example(ranker, predict_request, garbage):
    code, message = error_of(ranker, predict_request({"examples": [garbage]}))

    assert code is INVALID
    assert message.startswith("Could not parse example input")


def test_example_without_a_feature(ranker, predict_request, example):
    request = predict_request({"examples": [example(x=1.0)]})
    code, message = error_of(ranker, request)

    assert code is INVALID
    assert "Feature: kind (data type: string) is required" in message


def test_example_with_a_feature_of_the_wrong_type(ranker, predict_request, example):
    request = predict_request({"examples": [example(x=1, kind="a")]})
    code, message = error_of(ranker, request)

    assert code is INVALID
    assert "Key: x" in message
    assert "Data type: int64 but expected type: float" in message

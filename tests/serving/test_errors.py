"""ServingError, and its roads from TensorFlow and gRPC, and back."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2

from serving.errors import (
    ServingError,
    answers_errors,
    clip,
    from_op_error,
    from_status,
    not_found,
    status_code,
)


class AbortedError(Exception):
    pass


class Context:
    def abort(self, code, message):
        raise AbortedError(code, message)


def test_a_place_is_put_before_the_message():
    found = ServingError(grpc.StatusCode.DATA_LOSS, "it is damaged").at("models.config")

    assert str(found) == "DATA_LOSS: models.config: it is damaged"


@pytest.mark.parametrize(
    ("version", "what"), [(None, "Latest(m)"), (3, "Specific(m, 3)")]
)
def test_what_is_not_found_is_named(version, what):
    found = not_found("m", version)

    assert str(found) == f"NOT_FOUND: Servable not found for request: {what}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (tf.errors.InvalidArgumentError, grpc.StatusCode.INVALID_ARGUMENT),
        (tf.errors.FailedPreconditionError, grpc.StatusCode.FAILED_PRECONDITION),
        (tf.errors.ResourceExhaustedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (tf.errors.DataLossError, grpc.StatusCode.DATA_LOSS),
        (tf.errors.UnimplementedError, grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_op_errors_keep_their_code_and_message(error, code):
    found = from_op_error(error(None, None, "what happened"))

    assert (found.code, found.message) == (code, "what happened")
    assert str(found) == f"{code.name}: what happened"


@pytest.mark.parametrize(
    ("number", "message"), [(0, None), (5, "NOT_FOUND: gone"), (999, "UNKNOWN: gone")]
)
def test_a_status_is_an_error_unless_it_is_ok(number, message):
    version = get_model_status_pb2.ModelVersionStatus()
    version.status.error_code, version.status.error_message = number, "gone"
    found = from_status(version.status)

    assert (None if found is None else str(found)) == message


def test_an_unknown_number_is_unknown():
    assert status_code(999) is grpc.StatusCode.UNKNOWN


def test_only_long_messages_are_clipped():
    assert clip("x" * 1024) == "x" * 1024
    assert clip("x" * 1025) == "x" * 1024 + "...TRUNCATED"


def test_a_serving_error_aborts_with_its_status():
    @answers_errors
    def method(self, request, context):
        raise ServingError(grpc.StatusCode.NOT_FOUND, "gone")

    with pytest.raises(AbortedError) as caught:
        method(None, None, Context())
    assert caught.value.args == (grpc.StatusCode.NOT_FOUND, "gone")


def test_any_other_error_is_internal_and_logged(caplog):
    @answers_errors
    def method(self, request, context):
        raise ZeroDivisionError("by zero")

    with pytest.raises(AbortedError) as caught:
        method(None, None, Context())
    assert caught.value.args[0] is grpc.StatusCode.INTERNAL
    assert "ZeroDivisionError: by zero" in caught.value.args[1]
    assert "method failed unexpectedly" in caplog.text

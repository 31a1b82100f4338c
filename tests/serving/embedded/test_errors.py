"""What failed as a ServingError, and its words on the wire."""

import grpc
import pytest
import tensorflow as tf

from serving.embedded.errors import clip, from_op_error, not_found


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


def test_only_long_messages_are_clipped():
    assert clip("x" * 1024) == "x" * 1024
    assert clip("x" * 1025) == "x" * 1024 + "...TRUNCATED"

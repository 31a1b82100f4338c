"""ServingError, and what becomes one."""

import pickle

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2

from serving.errors import ServingError, from_status, status_code


def test_a_place_is_put_before_the_message():
    found = ServingError(grpc.StatusCode.DATA_LOSS, "it is damaged").at("models.config")

    assert str(found) == "DATA_LOSS: models.config: it is damaged"


def test_it_goes_from_process_to_process():
    error = ServingError(grpc.StatusCode.DATA_LOSS, "it is damaged")

    found = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert str(found) == str(error) == "DATA_LOSS: it is damaged"
    assert (found.code, found.message) == (error.code, error.message)


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

"""How a call of gRPC fails, and the time that it has."""

import contextlib
import weakref

import grpc
import pytest

from serving.embedded.calls import answers_errors, time_left
from serving.errors import ServingError


class AbortedError(Exception):
    pass


class Context:
    def abort(self, code, message):
        raise AbortedError(code, message)


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


def test_a_request_that_failed_is_freed_at_once(uncollected):
    class Request:
        pass

    requests = []

    @answers_errors
    def method(self, request, context):
        requests.append(weakref.ref(request))
        raise ServingError(grpc.StatusCode.NOT_FOUND, "gone")

    with contextlib.suppress(AbortedError):
        method(None, Request(), Context())
    assert requests[0]() is None


@pytest.mark.parametrize(
    # Without a deadline gRPC tells of some 300 years, or of nothing.
    ("told", "left"),
    [(2.5, 2.5), (9.2e9, None), (None, None)],
)
def test_the_time_left(told, left):
    class Context:
        def time_remaining(self):
            return told

    assert time_left(Context()) == left

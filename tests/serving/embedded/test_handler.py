"""How requests are counted, and how they fail."""

import contextlib
import weakref
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

from serving.embedded.handler import RequestHandler
from serving.embedded.metrics import Metrics
from serving.errors import ServingError, invalid


@pytest.fixture
def handler():
    models = SimpleNamespace(name_of=lambda request: "m")
    return RequestHandler(models, Metrics(), log=None)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (invalid("bad"), grpc.StatusCode.INVALID_ARGUMENT, "bad"),
        (
            ZeroDivisionError("by zero"),
            grpc.StatusCode.INTERNAL,
            "Predict failed: ZeroDivisionError: by zero",
        ),
    ],
)
def test_what_fails_is_counted_by_its_code(handler, error, code, message):
    with (
        pytest.raises(ServingError) as caught,
        handler.counting("Predict", None, "GRPC"),
    ):
        raise error

    assert (caught.value.code, caught.value.message) == (code, message)
    assert f'status="{code.name}"' in handler.metrics.page().decode()


def test_what_failed_is_freed_at_once(handler, uncollected):
    arrays = []

    def fail():
        array = np.zeros(1)
        arrays.append(weakref.ref(array))
        with handler.counting("Predict", None, "GRPC"):
            raise invalid("bad")

    with contextlib.suppress(ServingError):
        fail()
    assert arrays[0]() is None

"""How requests are counted, and how they fail."""

import contextlib
import time
import weakref
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

from serving.embedded.admission import Cancellation
from serving.embedded.handler import RequestHandler
from serving.embedded.metrics import Metrics
from serving.errors import ServingError, invalid
from serving.status import State, VersionStatus


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


def test_a_long_error_of_a_load_is_clipped(handler):
    failed = VersionStatus(1, State.END, invalid("x" * 5000))
    handler.models.statuses = lambda request: [failed]

    (entry,) = handler.status(None).model_version_status

    assert entry.status.error_message == "x" * 1024 + "...TRUNCATED"


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


@pytest.fixture
def slow_turn():
    """A handler whose model has its turn after 0.2 s; says what time each part had."""
    given = SimpleNamespace(turn=None, run=None)

    def call(method, request, timeout):
        given.run = timeout

    @contextlib.contextmanager
    def lease(request, timeout, cancellation):
        given.turn = timeout
        time.sleep(0.2)
        yield SimpleNamespace(call=call)

    models = SimpleNamespace(
        name_of=lambda request: "m", lease=lease, log_config=lambda name: None
    )
    log = SimpleNamespace(add=lambda *arguments: None)
    return RequestHandler(models, Metrics(), log), given


def test_the_wait_for_a_turn_is_part_of_the_time(slow_turn):
    handler, given = slow_turn

    handler.infer("Predict", None, 5.0)

    assert given.turn == 5.0
    assert 0 < given.run <= 4.8


def test_nothing_is_run_for_a_caller_that_went_meanwhile(slow_turn):
    handler, given = slow_turn
    caller = Cancellation()

    with pytest.raises(ServingError) as caught:
        handler.infer("Predict", None, 5.0, lambda servable: caller.set(), caller)

    assert caught.value.code is grpc.StatusCode.CANCELLED
    assert given.run is None

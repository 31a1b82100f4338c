"""Turns at a model, and callers that go before theirs."""

import concurrent.futures
import time

import grpc
import pytest

from serving.embedded.admission import Admission, Cancellation
from serving.errors import ServingError


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        yield threads


def code_of(call):
    error = call.exception(timeout=5)
    return error.code if isinstance(error, ServingError) else error


def test_a_caller_that_goes_leaves_the_queue_at_once(pool):
    admission = Admission("m", running=1, waiting=1)
    admission.enter()
    gone = Cancellation()
    waiting = pool.submit(admission.enter, 30, gone)
    time.sleep(0.1)
    with pytest.raises(ServingError, match="too many requests"):
        admission.enter()

    started = time.monotonic()
    gone.set()

    assert code_of(waiting) is grpc.StatusCode.CANCELLED
    assert time.monotonic() - started < 2
    # Its place is free, and the next one gets the turn.
    following = pool.submit(admission.enter, 30)
    time.sleep(0.1)
    assert not following.done()
    admission.leave()
    assert code_of(following) is None


def test_a_caller_that_has_gone_before_does_not_wait():
    admission = Admission("m", running=1, waiting=1)
    admission.enter()
    gone = Cancellation()
    gone.set()

    with pytest.raises(ServingError) as caught:
        admission.enter(30, gone)

    assert caught.value.code is grpc.StatusCode.CANCELLED


def test_turns_are_not_lost_to_callers_that_go(pool):
    admission = Admission("m", running=1, waiting=64)
    admission.enter()
    callers = [Cancellation() for _ in range(40)]

    def run(caller):
        admission.enter(30, caller)
        admission.leave()

    with concurrent.futures.ThreadPoolExecutor(40) as threads:
        calls = [threads.submit(run, caller) for caller in callers]
        time.sleep(0.2)
        for caller in callers[::2]:
            caller.set()
        admission.leave()
        codes = [code_of(call) for call in calls]

    assert codes[1::2] == [None] * 20
    assert set(codes[::2]) <= {None, grpc.StatusCode.CANCELLED}
    admission.enter(0.1)  # the turn is still there

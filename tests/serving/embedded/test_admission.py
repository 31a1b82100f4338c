"""Turns at a model, and callers whose time ends, or that go, before theirs."""

import concurrent.futures
import time

import grpc
import pytest
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.embedded.admission import Admission, Cancellation
from serving.errors import ServingError

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DEADLINE = grpc.StatusCode.DEADLINE_EXCEEDED


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


@pytest.mark.e2e
def test_a_run_is_cancelled_after_its_deadline(base, serve, connect, predict_request):
    stubs = connect(serve(base, max_running_per_model=1).target).predictions
    slow = predict_request({"seconds": 60.0}, signature="sleep")

    call = stubs.Predict.future(slow, timeout=0.1)
    assert call.code() is DEADLINE

    # The only turn is free again.
    stubs.Predict(predict_request({"x": [1.0]}), timeout=5)


@pytest.mark.e2e
def test_the_requests_to_a_model_are_bounded(base, serve, connect, predict_request):
    server = serve(base, max_running_per_model=2, max_waiting_per_model=1)
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 0.5}, signature="sleep")

    calls = [stubs.Predict.future(slow, timeout=10) for _ in range(5)]

    codes = [call.code() for call in calls]
    assert codes.count(EXHAUSTED) == 2
    assert codes.count(grpc.StatusCode.OK) == 3


@pytest.mark.e2e
def test_metadata_of_a_busy_model(base, serve, connect, predict_request):
    server = serve(base, max_running_per_model=1, max_waiting_per_model=0)
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 1.0}, signature="sleep")
    running = stubs.Predict.future(slow, timeout=10)
    time.sleep(0.2)
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    request.model_spec.name = "m"

    assert stubs.GetModelMetadata(request, timeout=5).model_spec.version.value == 1
    assert not running.done()


@pytest.mark.e2e
def test_a_request_may_not_wait_longer_than_its_deadline(
    base, serve, connect, predict_request
):
    server = serve(base, max_running_per_model=1)
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 2.0}, signature="sleep")
    first = stubs.Predict.future(slow, timeout=10)
    time.sleep(0.1)

    code = stubs.Predict.future(predict_request({"x": [1.0]}), timeout=0.2).code()

    assert code is DEADLINE
    assert not first.done()
    assert first.code() is grpc.StatusCode.OK


@pytest.mark.e2e
def test_callers_that_go_leave_the_queue(base, serve, connect, predict_request):
    server = serve(base, max_running_per_model=1, max_waiting_per_model=2)
    stubs = connect(server.target).predictions
    first = stubs.Predict.future(
        predict_request({"seconds": 1.5}, signature="sleep"), timeout=10
    )
    time.sleep(0.2)
    slow = predict_request({"seconds": 5.0}, signature="sleep")
    gone = [stubs.Predict.future(slow) for _ in range(2)]
    time.sleep(0.2)
    quick = predict_request({"x": [1.0]})
    assert stubs.Predict.future(quick, timeout=10).code() is EXHAUSTED

    for call in gone:
        call.cancel()
    time.sleep(0.2)
    started = time.monotonic()
    stubs.Predict(quick, timeout=10)

    assert first.code() is grpc.StatusCode.OK
    assert time.monotonic() - started < 3

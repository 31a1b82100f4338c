"""Requests put together."""

import contextlib
import threading
import weakref

import grpc
import numpy as np
import pytest

from serving.embedded import batching
from serving.embedded.batching import Batcher, BatchingOptions, read_batching_options
from serving.embedded.server import ModelServer
from serving.errors import ServingError, invalid

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_request_that_is_late_in_the_queue_fails(monkeypatch):
    busy, free = threading.Event(), threading.Event()

    def run(key, arrays, timeout):
        if timeout is None:
            busy.set()
            free.wait(10)
        return arrays

    batcher = Batcher(BatchingOptions(max_batch_size=1, num_batch_threads=1), run)
    first = threading.Thread(target=batcher.run, args=("k", [np.zeros(1)], None))
    first.start()
    assert busy.wait(10)

    class Slow(threading.Event):
        """A caller that isn't woken by its own deadline first."""

        def wait(self, timeout=None):
            free.set()
            return super().wait(10)

    monkeypatch.setattr(batching.threading, "Event", Slow)
    with pytest.raises(ServingError, match="exceeded while waiting") as caught:
        batcher.run("k", [np.zeros(1)], 0.0)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    first.join()
    batcher.close()


def test_a_batch_has_the_time_of_its_most_patient():
    timeouts = []

    def run(key, arrays, timeout):
        timeouts.append(timeout)
        return arrays

    options = BatchingOptions(max_batch_size=2, batch_timeout_micros=10_000_000)
    batcher = Batcher(options, run)
    callers = [
        threading.Thread(target=batcher.run, args=("k", [np.ones(1)], seconds))
        for seconds in (20, 60)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    batcher.close()
    assert timeouts == [pytest.approx(60, abs=5)]


def test_what_cannot_be_batched_is_tried_once():
    sizes = []

    def run(key, arrays, timeout):
        sizes.append(len(arrays[0]))
        return [np.zeros(())]  # a row for none of them

    batcher = Batcher(BatchingOptions(max_batch_size=2, allowed_batch_sizes=(2,)), run)
    for _ in range(2):
        batcher.run("k", [np.ones(1)], None)
    batcher.close()
    assert sizes == [2, 1, 1]


def test_a_batch_that_the_next_request_does_not_fit_into_waits_no_longer(eventually):
    answers = []
    options = BatchingOptions(max_batch_size=3, batch_timeout_micros=30_000_000)
    batcher = Batcher(options, lambda key, arrays, timeout: arrays)
    rows = [np.ones(2)]
    first = threading.Thread(
        target=lambda: answers.append(batcher.run("k", rows, 10.0)), daemon=True
    )
    first.start()
    eventually(lambda: batcher._open)
    with contextlib.suppress(ServingError):
        batcher.run("k", rows, 1.0)
    first.join()
    batcher.close()
    assert len(answers) == 1


def test_arrays_that_failed_are_freed_at_once(uncollected):
    def run(key, arrays, timeout):
        raise invalid("bad")

    batcher = Batcher(BatchingOptions(), run)
    array = np.zeros(1)
    freed = weakref.ref(array)
    with contextlib.suppress(ServingError):
        batcher.run("k", [array], None)
    del array
    # Its thread keeps the last batch until the next one.
    batcher.close()

    assert freed() is None


def test_a_defect_is_logged(caplog):
    def run(key, arrays, timeout):
        if key == "defect" or len(arrays[0]) == 2:
            raise ZeroDivisionError("by zero")
        return arrays

    sizes = BatchingOptions(max_batch_size=2, allowed_batch_sizes=(2,))
    batcher = Batcher(sizes, run)

    assert batcher.run("k", [np.ones(1)], None)[0].tolist() == [1.0]
    assert "a batch failed unexpectedly; its requests are run alone" in caplog.text
    assert "ZeroDivisionError: by zero" in caplog.text

    caplog.clear()
    with pytest.raises(ServingError, match=r"INTERNAL: .*ZeroDivisionError: by zero"):
        batcher.run("defect", [np.ones(1)], None)
    assert "batch failed unexpectedly\n" in caplog.text
    batcher.close()


def test_a_refusal_in_company_is_no_defect(caplog):
    def run(key, arrays, timeout):
        if len(arrays[0]) == 2:
            raise invalid("bad")
        return arrays

    sizes = BatchingOptions(max_batch_size=2, allowed_batch_sizes=(2,))
    batcher = Batcher(sizes, run)

    assert batcher.run("k", [np.ones(1)], None)[0].tolist() == [1.0]
    assert not caplog.text
    batcher.close()


def test_the_splitting_of_large_batches_is_left_out(tmp_path):
    path = tmp_path / "batching.config"
    path.write_text(
        "max_batch_size { value: 8 } allowed_batch_sizes: 2 allowed_batch_sizes: 4"
        " enable_large_batch_splitting { value: true }"
        " max_execution_batch_size { value: 4 }"
    )

    options = read_batching_options(str(path))

    assert options.max_batch_size == 8
    assert options.allowed_batch_sizes == (2, 4, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size: expected at least 1, found 0"),
        ("allowed_batch_sizes: [1, 2]", "the last one max_batch_size"),
        ("max_batch { }", "Invalid protobuf file"),
    ],
)
def test_wrong_parameters(tmp_path, text, message):
    path = tmp_path / "batching.config"
    path.write_text(text)
    options = {"enable_batching": True, "batching_parameters_file": str(path)}

    with pytest.raises(ServingError, match=message):
        ModelServer("m", tmp_path, **options)


def test_parameters_need_batching(tmp_path):
    with pytest.raises(ServingError, match="file is set without setting"):
        ModelServer("m", tmp_path, batching_parameters_file="batching.config")


def batching_file(path, text):
    path.write_text(text)
    return {"enable_batching": True, "batching_parameters_file": str(path)}


@pytest.mark.e2e
def test_a_bad_request_fails_nobody_else_in_its_batch(
    base, serve, connect, predict_request, tmp_path
):
    flags = batching_file(
        tmp_path / "batching",
        "max_batch_size { value: 4 } batch_timeout_micros { value: 1000000 }",
    )
    stubs = connect(serve(base, **flags).target).predictions

    calls = [
        stubs.Predict.future(predict_request({"x": [x]}, signature="fail"))
        for x in (1.0, 2.0, 11.0, 3.0)
    ]

    assert [call.code() for call in calls] == [
        grpc.StatusCode.OK,
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OK,
    ]
    assert list(calls[3].result().outputs["y"].float_val) == [3.0]


@pytest.mark.e2e
def test_the_queue_of_batches_is_bounded(
    base, serve, connect, predict_request, tmp_path
):
    flags = batching_file(
        tmp_path / "batching",
        "max_batch_size { value: 1 } max_enqueued_batches { value: 2 }"
        " batch_timeout_micros { value: 0 } num_batch_threads { value: 1 }",
    )
    # So wide that it is the queue of batches that fills, and nothing before it.
    server = serve(
        base, max_running_per_model=250, max_concurrent_requests=300, **flags
    )
    stubs = connect(server.target).predictions
    wait = predict_request({"x": [1.0] * 2})
    code = stubs.Predict.future(wait, timeout=10).code()
    assert code is grpc.StatusCode.INVALID_ARGUMENT

    requests_ = [predict_request({"x": [float(x)]}) for x in range(200)]
    calls = [stubs.Predict.future(r, timeout=10) for r in requests_]

    assert {call.code() for call in calls} == {grpc.StatusCode.OK, EXHAUSTED}
    refused = [call for call in calls if call.code() is EXHAUSTED]
    assert all("batch scheduling queue" in call.details() for call in refused)


@pytest.mark.e2e
def test_batches_are_padded_to_an_allowed_size(
    models, publish, serve, connect, predict_request, tmp_path
):
    # Its answer tells the size of the batch.
    publish(models.tagged, tmp_path / "tagged", 1)
    flags = batching_file(
        tmp_path / "batching",
        "max_batch_size { value: 4 } allowed_batch_sizes: 4",
    )
    stubs = connect(serve(tmp_path / "tagged", **flags).target).predictions

    response = stubs.Predict(predict_request({"x": [1.0, 2.0, 3.0]}), timeout=10)

    assert list(response.outputs["y"].float_val) == [1.0, 2.0, 3.0]
    assert list(response.outputs["size"].int_val) == [4, 4, 4]

"""Requests put together, without a model."""

import threading

import grpc
import numpy as np
import pytest

from serving.embedded import batching
from serving.embedded.batching import Batcher, BatchingOptions, read_batching_options
from serving.embedded.server import ModelServer
from serving.errors import ServingError


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

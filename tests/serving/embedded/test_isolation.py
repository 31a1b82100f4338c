"""A model in a process of its own that hangs or ends."""

import os
import shutil
import signal
import threading
import time
from multiprocessing import util
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.message import EncodeError

from serving.embedded import isolation
from serving.embedded.isolation import IsolatedModel
from serving.embedded.model import ModelOptions
from serving.errors import ServingError

pytestmark = pytest.mark.e2e


@pytest.fixture
def model(models):
    """A model that takes two requests at a time."""
    model = IsolatedModel(
        str(models.half_plus_two),
        ModelOptions(),
        connections=2,
        cancelled=lambda: False,
        on_failure=lambda: None,
    )
    yield model
    model.abort()
    model.close()


def test_a_request_without_a_deadline_does_not_hide_that_it_hangs(
    model, predict_request, monkeypatch, eventually
):
    monkeypatch.setattr(isolation, "HANGING_AFTER", 0.2)
    request = predict_request({"x": [1.0]})
    codes = []

    def ask(timeout=None):
        try:
            model.call("Predict", request, timeout)
        except ServingError as error:
            codes.append(error.code)

    patient = threading.Thread(target=ask)
    try:
        os.kill(model._process.pid, signal.SIGSTOP)
        patient.start()
        eventually(lambda: len(model._free) == 1)
        ask(timeout=0.01)
        ask(timeout=0.01)
        time.sleep(0.2)
        ask(timeout=0.01)
    finally:
        model.abort()
        patient.join()

    unavailable = grpc.StatusCode.UNAVAILABLE
    assert codes[:2] == [
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ]
    assert codes[2:] == [unavailable, unavailable]


def test_each_request_is_told_that_it_has_ended(model, predict_request, eventually):
    os.kill(model._process.pid, signal.SIGKILL)
    eventually(model._ended.is_set)

    # One more than it has connections.
    for _ in range(3):
        with pytest.raises(ServingError, match="process ended: SIGKILL") as caught:
            model.call("Predict", predict_request({"x": [1.0]}))
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_request_that_is_too_long_takes_no_connection(model, predict_request):
    def fail():
        raise EncodeError("more than 2 GiB")

    for _ in range(2):
        with pytest.raises(EncodeError):
            model.call("Predict", SimpleNamespace(SerializeToString=fail))

    response = model.call("Predict", predict_request({"x": [1.0]}))
    assert list(response.outputs["y"].float_val) == [2.5]


def test_a_load_that_is_cancelled_ends_at_once(
    models, publish, tmp_path, predict_request, write_warmup
):
    path = publish(models.half_plus_two, tmp_path, 1)
    write_warmup(path, predict_request({"seconds": 60.0}, signature="sleep"))
    started = time.monotonic()

    with pytest.raises(ServingError, match="the load was cancelled"):
        IsolatedModel(
            str(path),
            ModelOptions(),
            connections=2,
            cancelled=lambda: time.monotonic() > started + 0.5,
            on_failure=lambda: None,
        )

    assert time.monotonic() - started < 4


def test_the_folder_of_temporary_files_may_be_cleaned(
    models, predict_request, eventually
):
    def load(path, on_failure=lambda: None):
        return IsolatedModel(
            str(path),
            ModelOptions(),
            connections=2,
            cancelled=lambda: False,
            on_failure=on_failure,
        )

    def y(model):
        response = model.call("Predict", predict_request({"x": [0.0]}))
        return list(response.outputs["y"].float_val)

    failed = threading.Event()
    old = load(models.half_plus_two, failed.set)
    shutil.rmtree(util.get_temp_dir())

    new, newer = load(models.half_plus_three), load(models.half_plus_three)
    assert (y(old), y(new), y(newer)) == ([2.0], [3.0], [3.0])

    # One is enough for both.
    assert parent(new) == parent(newer) != parent(old)
    os.kill(old._process.pid, signal.SIGKILL)
    eventually(failed.is_set)
    for model in (old, new, newer):
        model.close()


def parent(model):
    """The process that forked the model's."""
    stat = Path(f"/proc/{model._process.pid}/stat").read_text(encoding="ascii")
    return int(stat.rpartition(")")[2].split()[1])

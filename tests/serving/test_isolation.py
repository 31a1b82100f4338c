"""A model in a process of its own that hangs."""

import os
import signal
import threading
import time

import grpc
import pytest

from serving import isolation
from serving.errors import ServingError
from serving.isolation import IsolatedModel
from serving.model import ModelOptions

pytestmark = pytest.mark.e2e


def test_a_request_without_a_deadline_does_not_hide_that_it_hangs(
    models, predict_request, monkeypatch, eventually
):
    monkeypatch.setattr(isolation, "HANGING_AFTER", 0.2)
    model = IsolatedModel(
        str(models.half_plus_two),
        ModelOptions(),
        connections=2,
        cancelled=lambda: False,
        on_failure=lambda: None,
    )
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
        model.close()
        patient.join()

    unavailable = grpc.StatusCode.UNAVAILABLE
    assert codes[:2] == [
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ]
    assert codes[2:] == [unavailable, unavailable]

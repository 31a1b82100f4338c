"""A version and the requests that it has in flight."""

import threading
from types import SimpleNamespace

import grpc
import pytest

from serving.embedded.model import LoadedModel, ModelOptions
from serving.embedded.servable import Servable
from serving.errors import ServingError


def load(version, path):
    return Servable("m", version, LoadedModel(str(path), ModelOptions()))


def test_responses_name_model_and_version(models, predict_request):
    servable = load(7, models.half_plus_two)

    spec = servable.call(
        "Predict", predict_request({"x": [1.0]}, model="other")
    ).model_spec

    assert (spec.name, spec.version.value) == ("m", 7)
    servable.close()


def test_two_versions_have_tables_of_their_own(models, predict_request, example):
    old = load(1, models.ranker)
    new = load(2, models.other_ranker)
    request = predict_request({"examples": [example(x=0.0, kind="c")]})

    assert list(old.call("Predict", request).outputs["score"].float_val) == [2]
    assert list(new.call("Predict", request).outputs["score"].float_val) == [0]
    old.close()
    new.close()


def test_close_waits_for_the_requests_in_flight(models, predict_request):
    servable = load(1, models.half_plus_two)
    closed = threading.Event()

    servable.acquire()
    servable.acquire()
    servable.close(closed.set)
    servable.release()
    assert not closed.is_set()
    response = servable.call("Predict", predict_request({"x": [1.0]}))
    assert list(response.outputs["y"].float_val) == [2.5]
    servable.release()
    assert closed.wait(10)


def test_the_last_request_does_not_wait_for_the_end_of_the_model():
    go_on, closed = threading.Event(), threading.Event()
    servable = Servable("m", 1, SimpleNamespace(close=lambda: go_on.wait(10)))
    servable.acquire()
    servable.close(closed.set)

    servable.release()

    assert not closed.is_set()
    go_on.set()
    assert closed.wait(10)


def test_another_close_changes_nothing():
    ends = []
    servable = Servable("m", 1, SimpleNamespace(close=lambda: ends.append("model")))
    closed = threading.Event()
    servable.acquire()
    servable.close(closed.set)

    servable.close(lambda: ends.append("again"))
    servable.release()

    assert closed.wait(10)
    servable.close()
    assert ends == ["model"]


def test_a_closed_version_takes_no_request(models):
    servable = load(1, models.half_plus_two)
    servable.close()
    servable.close()

    with pytest.raises(ServingError, match="being unloaded") as caught:
        servable.acquire()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_run_after_the_close_is_an_error_not_a_crash(models, predict_request):
    servable = load(1, models.half_plus_two)
    servable.close()

    with pytest.raises(ServingError):
        servable.call("Predict", predict_request({"x": [1.0]}))

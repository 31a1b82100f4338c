"""A version and the requests that it has in flight."""

import threading

import grpc
import pytest

from serving.errors import ServingError
from serving.servable import Servable


def test_responses_name_model_and_version(models, predict_request):
    servable = Servable("m", 7, str(models.half_plus_two))

    spec = servable.predict(predict_request({"x": [1.0]}, model="other")).model_spec

    assert (spec.name, spec.version.value) == ("m", 7)
    servable.close()


def test_two_versions_have_tables_of_their_own(models, predict_request, example):
    old = Servable("m", 1, str(models.ranker))
    new = Servable("m", 2, str(models.other_ranker))
    request = predict_request({"examples": [example(x=0.0, kind="c")]})

    assert list(old.predict(request).outputs["score"].float_val) == [2]
    assert list(new.predict(request).outputs["score"].float_val) == [0]
    old.close()
    new.close()


def test_close_waits_for_the_requests_in_flight(models, predict_request):
    servable = Servable("m", 1, str(models.half_plus_two))
    closed = threading.Event()

    with servable.lease(), servable.lease():
        servable.close(closed.set)
        assert not closed.is_set()
        response = servable.predict(predict_request({"x": [1.0]}))
        assert list(response.outputs["y"].float_val) == [2.5]
    assert closed.is_set()


def test_a_closed_version_takes_no_request(models):
    servable = Servable("m", 1, str(models.half_plus_two))
    servable.close()
    servable.close()

    with pytest.raises(ServingError, match="being unloaded") as caught:
        servable.acquire()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_run_after_the_close_is_an_error_not_a_crash(models, predict_request):
    servable = Servable("m", 1, str(models.half_plus_two))
    servable.close()

    with pytest.raises(ServingError):
        servable.predict(predict_request({"x": [1.0]}))

"""The methods' messages."""

import pytest
from tensorflow_serving.apis import prediction_log_pb2

from serving.methods import METHODS


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_a_log_has_a_place_for_both_messages(method):
    log = getattr(prediction_log_pb2.PredictionLog(), method.log)

    assert isinstance(log.request, method.request)
    assert isinstance(log.response, method.response)

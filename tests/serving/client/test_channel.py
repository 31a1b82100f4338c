"""Which of several servers is asked, over real ports."""

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.client.channel import open_channel


@pytest.fixture
def ask(service, another_service):
    """Sends requests to a name of two addresses."""
    channels = []
    target = f"ipv4:{service.target},{another_service.target}"

    def open_(**options):
        channel = open_channel(grpc, target, None, **options)
        channels.append(channel)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest()
        return lambda: stub.Predict(request, timeout=10)

    yield open_
    for channel in channels:
        channel.close()


@pytest.mark.parametrize("attempts", [1, 5])
def test_all_addresses_are_asked(ask, service, another_service, eventually, attempts):
    send = ask(attempts=attempts)

    eventually(lambda: send() and service.requests and another_service.requests)


def test_one_address_is_asked_where_it_must_be_the_same(ask, service, another_service):
    send = ask(attempts=1, balanced=False)
    for _ in range(20):
        send()

    assert sorted([len(service.requests), len(another_service.requests)]) == [0, 20]

"""Which of several servers is asked, over real ports."""

import socket
import threading
from concurrent import futures
from types import SimpleNamespace

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.client import Client, channel
from serving.client.channel import open_channel
from serving.errors import ServingError


@pytest.fixture
def ask(service, another_service):
    """Sends requests to a name of two addresses."""
    channels = []

    def open_(another=another_service.target, **options):
        opened = open_channel(grpc, f"ipv4:{service.target},{another}", None, **options)
        channels.append(opened)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(opened)
        request = predict_pb2.PredictRequest()
        return lambda: stub.Predict(request, timeout=options.get("timeout", 10))

    yield open_
    for opened in channels:
        opened.close()


@pytest.mark.parametrize("attempts", [1, 5])
def test_all_addresses_are_asked(ask, service, another_service, eventually, attempts):
    send = ask(attempts=attempts)

    eventually(lambda: send() and service.requests and another_service.requests)


def test_one_address_is_asked_where_it_must_be_the_same(ask, service, another_service):
    send = ask(attempts=1, balanced=False)
    for _ in range(20):
        send()

    assert sorted([len(service.requests), len(another_service.requests)]) == [0, 20]


def test_an_answer_may_be_longer_than_4_mib():
    class Long(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            response = predict_pb2.PredictResponse()
            response.outputs["score"].float_val.extend([0.5] * 1_500_000)
            return response

    server = grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Long(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with open_channel(grpc, f"127.0.0.1:{port}", None, attempts=1) as opened:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(opened)
        answer = stub.Predict(predict_pb2.PredictRequest(), timeout=10)
    server.stop(0).wait()
    assert len(answer.outputs["score"].float_val) == 1_500_000


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104
def test_no_proxy_is_asked_for_this_machine(service, monkeypatch, host):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    port = service.target.rpartition(":")[2]
    with open_channel(grpc, f"{host}:{port}", None, attempts=1) as opened:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(opened)
        stub.Predict(predict_pb2.PredictRequest(), timeout=10)
    assert service.requests


@pytest.fixture
def hanging():
    """The address of a server that hangs as soon as it is connected to."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take_one():
            connection, _ = server.accept()
            with connection:
                # Empty settings, which let gRPC take the connection for a good one.
                connection.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                while connection.recv(65536):
                    pass

        threading.Thread(target=take_one, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_hangs_is_left(ask, hanging, monkeypatch, eventually):
    monkeypatch.setattr(channel, "_SILENCE", 1.0)
    send = ask(another=hanging, attempts=1, timeout=0.1)

    def all_answer():
        try:
            return [send() for _ in range(4)]
        except grpc.RpcError:
            return None

    eventually(lambda: not all_answer())
    eventually(all_answer)


@pytest.mark.slow
def test_a_client_leaves_a_server_that_hangs(
    service, hanging, spec, monkeypatch, eventually
):
    monkeypatch.setattr(channel, "_SILENCE", 1.0)
    target = f"ipv4:{service.target},{hanging}"
    row = {"kind": "a", "x": 1, "tags": ""}

    with Client(target, "m", spec, timeout=0.1, attempts=1) as client:

        def all_answer():
            try:
                return [client.predict([row]) for _ in range(4)]
            except ServingError:
                return None

        eventually(lambda: not all_answer())
        eventually(all_answer)


@pytest.mark.parametrize(
    ("host", "asked"),
    [("example.com", 1), ("10.0.0.1", 1), ("[2001:db8::1]", 1), ("[::1]", 0)],
)
def test_a_proxy_is_asked_for_other_machines(host, asked):
    api = SimpleNamespace(insecure_channel=lambda target, options: dict(options))

    options = open_channel(api, f"{host}:8500", None, attempts=1)

    assert options["grpc.enable_http_proxy"] == asked


@pytest.mark.parametrize(
    ("timeout", "milliseconds"), [(0.1, 20_000), (60.0, 60_000), (1e9, 2**31 - 1)]
)
def test_a_request_lasts_for_one_ping_at_most(timeout, milliseconds):
    api = SimpleNamespace(insecure_channel=lambda target, options: dict(options))

    options = open_channel(api, "localhost:1", None, attempts=1, timeout=timeout)

    assert options["grpc.keepalive_time_ms"] == milliseconds

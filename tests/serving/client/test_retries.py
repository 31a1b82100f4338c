"""Requests that are sent again, and deadlines, over a real port."""

import asyncio
import time
from concurrent import futures

import grpc
import pytest
from tensorflow_serving.apis import model_service_pb2_grpc

from serving.client import AsyncClient, Canary, Client
from serving.errors import ServingError

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
ROW = {"kind": "a", "x": 4, "tags": ""}


@pytest.fixture
def client(service, spec):
    with Client(service.target, "m", spec) as client:
        yield client


@pytest.mark.parametrize("code", [UNAVAILABLE, EXHAUSTED])
def test_sends_again_until_there_is_an_answer(service, client, code):
    service.failures = [code, code]

    assert client.predict([ROW]).tolist() == [4]
    assert len(service.requests) == 3
    assert all(request == service.requests[0] for request in service.requests)


def test_a_request_with_a_context_is_sent_again(service, client):
    service.failures = [UNAVAILABLE]

    assert client.predict([{"x": 4}], {"kind": "b", "tags": ""}).tolist() == [104]
    assert len(service.requests) == 2


def test_long_requests_are_sent_again(service, client):
    # Above 256 KiB, gRPC's default buffer, a request would be sent only once.
    service.failures = [UNAVAILABLE]

    assert client.predict([ROW | {"tags": ["x" * 2_000_000]}]).tolist() == [4]
    assert len(service.requests) == 2


def test_gives_up_after_the_attempts(service, spec):
    for attempts in (1, 3):
        service.requests.clear()
        service.failures = [UNAVAILABLE] * attempts
        with (
            Client(service.target, "m", spec, attempts=attempts) as client,
            pytest.raises(ServingError, match="as told") as caught,
        ):
            client.predict([ROW])
        assert caught.value.code is UNAVAILABLE
        assert len(service.requests) == attempts


@pytest.mark.parametrize("name", ["INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL"])
def test_other_errors_are_final(service, client, name):
    service.failures = [grpc.StatusCode[name]]

    with pytest.raises(ServingError, match=f"^{name}: as told"):
        client.predict([ROW])
    assert len(service.requests) == 1


def test_the_state_is_asked_for_once(spec):
    asked = []

    class Models(model_service_pb2_grpc.ModelServiceServicer):
        def GetModelStatus(self, request, context):  # noqa: N802
            asked.append(request)
            context.abort(UNAVAILABLE, "as told")

    server = grpc.server(futures.ThreadPoolExecutor(1))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        Client(f"127.0.0.1:{port}", "m", spec) as client,
        pytest.raises(ServingError, match="as told"),
    ):
        client.status()
    server.stop(0).wait()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("rows", "context"), [([ROW], None), ([{"x": 4}], {"kind": "b", "tags": ""})]
)
def test_an_error_of_the_canary_is_told_as_such(service, spec, rows, context):
    service.failures = [grpc.StatusCode.INTERNAL]
    canary = Canary("canary", 1.0, "kind")

    with (
        Client(service.target, "m", spec, label="stable", canary=canary) as client,
        pytest.raises(ServingError, match=r"^INTERNAL: canary: as told: INTERNAL$"),
    ):
        client.predict(rows, context)


def test_pauses_grow(service, client):
    service.failures = [UNAVAILABLE] * 4
    started = time.monotonic()

    client.predict([ROW])

    # 0.1 + 0.2 + 0.4 + 0.8 s, each up to a fifth more or less.
    assert 1.1 < time.monotonic() - started < 4
    assert len(service.requests) == 5


def test_attempts_end_with_the_timeout(service, spec, monkeypatch):
    service.failures = [UNAVAILABLE] * 4
    # The first attempt fails at once, the second after 10 s.
    wait = service.hold.wait
    service.hold.clear()
    monkeypatch.setattr(
        service.hold, "wait", lambda seconds: len(service.requests) < 2 or wait(seconds)
    )
    started = time.monotonic()

    with (
        Client(service.target, "m", spec, timeout=1) as client,
        pytest.raises(ServingError) as caught,
    ):
        client.predict([ROW])

    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 5
    assert len(service.requests) == 2


def test_few_retries_while_most_requests_fail(service, spec):
    service.failures = [UNAVAILABLE] * 1000

    async def ask():
        async with AsyncClient(service.target, "m", spec) as client:
            calls = [client.predict([ROW]) for _ in range(60)]
            return await asyncio.gather(*calls, return_exceptions=True)

    assert all(error.code is UNAVAILABLE for error in asyncio.run(ask()))
    # 60 requests, and some 50 failures until gRPC sends none again.
    assert len(service.requests) < 60 * 2


@pytest.mark.parametrize("deadline", [None, 60])
def test_each_request_has_its_time(service, spec, deadline):
    with Client(service.target, "m", spec, timeout=5, rows_per_request=1) as client:
        client.predict([ROW] * 3, deadline=deadline)

    assert len(service.times) == 3
    assert all(4 < seconds <= 5.1 for seconds in service.times)


def test_a_deadline_is_for_all_requests(service, spec):
    def slow_rows():
        yield ROW
        time.sleep(0.2)
        yield ROW
        time.sleep(1)
        yield ROW

    with (
        Client(service.target, "m", spec, rows_per_request=1) as client,
        pytest.raises(ServingError, match=r"not all rows .* within 1 s") as caught,
    ):
        client.predict(slow_rows(), deadline=1)

    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    first, second = service.times
    assert second < first - 0.15 < 1


def test_calls_share_a_connection(service, client):
    for _ in range(5):
        client.predict([ROW])

    assert len(service.requests) == 5
    assert len(service.peers) == 1

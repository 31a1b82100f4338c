"""The client for asyncio, over a real port."""

import asyncio
import socket
import time

import grpc
import numpy as np
import pytest

from serving.client import AsyncClient, Canary, RequestRowError
from serving.errors import ServingError
from serving.status import State


def rows(count):
    return [{"kind": "a", "x": i, "tags": "", "user": i} for i in range(count)]


def run(target, spec, use, **arguments):
    """Runs `use(client)` in an event loop of its own."""

    async def main():
        async with AsyncClient(target, "m", spec, **arguments) as client:
            return await use(client)

    return asyncio.run(main())


def test_scores_in_order(service, spec):
    scores = run(
        service.target, spec, lambda c: c.predict(rows(95)), rows_per_request=10
    )

    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, np.arange(95))
    assert len(service.requests) == 10


def test_a_context(service, spec):
    async def use(client):
        return await client.predict([{"x": 1}, {"x": 2}], {"kind": "b", "tags": ""})

    assert run(service.target, spec, use).tolist() == [101, 102]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_several_requests_are_under_way(service, spec, eventually, in_flight):
    service.hold.clear()

    async def use(client):
        call = asyncio.create_task(client.predict(rows(8), in_flight=in_flight))
        # More requests than that don't come, however long one waits.
        await asyncio.to_thread(eventually, lambda: service.running == in_flight)
        await asyncio.sleep(0.1)
        service.hold.set()
        return await call

    scores = run(service.target, spec, use, rows_per_request=1)

    np.testing.assert_array_equal(scores, np.arange(8))
    assert service.most_running == in_flight


def test_calls_run_at_a_time(service, spec, eventually):
    service.hold.clear()

    async def use(client):
        calls = [asyncio.create_task(client.predict(rows(1))) for _ in range(5)]
        await asyncio.to_thread(eventually, lambda: service.running == 5)
        service.hold.set()
        return await asyncio.gather(*calls)

    assert [scores.tolist() for scores in run(service.target, spec, use)] == [[0]] * 5


def test_the_first_error_ends_a_call(service, spec):
    service.failures = [grpc.StatusCode.INVALID_ARGUMENT]

    with pytest.raises(ServingError, match=r"^INVALID_ARGUMENT: as told") as caught:
        run(service.target, spec, lambda c: c.predict(rows(50)), rows_per_request=1)

    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert len(service.requests) < 50


def test_a_wrong_row_ends_a_call(service, spec):
    with pytest.raises(RequestRowError, match=r"^rows\[2\]: column 'x'"):
        run(
            service.target,
            spec,
            lambda c: c.predict([*rows(2), rows(1)[0] | {"x": "many"}]),
            rows_per_request=1,
        )


def test_a_deadline(service, spec):
    service.hold.clear()

    with pytest.raises(ServingError) as caught:
        run(service.target, spec, lambda c: c.predict(rows(1), deadline=0.2))
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_client_that_is_closed_ends_its_calls(service, spec, eventually, count):
    service.hold.clear()

    async def use(client):
        call = asyncio.create_task(client.predict(rows(count), in_flight=3))
        under_way = min(count, 3)
        await asyncio.to_thread(eventually, lambda: service.running == under_way)
        await client.close()
        return await asyncio.wait_for(call, 10)

    with pytest.raises(ServingError, match="the client was closed") as caught:
        run(service.target, spec, use, rows_per_request=1)
    assert caught.value.code is grpc.StatusCode.CANCELLED


def test_a_client_that_was_closed(service, spec):
    async def use(client):
        await client.close()
        for call in (client.predict(rows(1)), client.status(), client.metadata()):
            with pytest.raises(ServingError, match="the client was closed"):
                await call
        await client.wait_until_ready()

    with pytest.raises(ServingError, match="the client was closed"):
        run(service.target, spec, use)


def test_a_call_that_is_cancelled(service, spec, eventually):
    service.hold.clear()

    async def use(client):
        call = asyncio.create_task(client.predict(rows(8), in_flight=3))
        await asyncio.to_thread(eventually, lambda: service.running == 3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        service.hold.set()
        return await client.predict(rows(2))

    scores = run(service.target, spec, use, rows_per_request=1)
    assert scores.tolist() == [0, 1]


def test_sends_again(service, spec):
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 2

    assert run(service.target, spec, lambda c: c.predict(rows(1))).tolist() == [0]
    assert len(service.requests) == 3


def test_versions_and_a_canary(two_versions, spec):
    canary = Canary("canary", 0.5, "user")
    asked = [row | {"kind": "c"} for row in rows(50)]

    async def use(client):
        return await asyncio.gather(
            client.predict(asked), client.predict(asked, label="canary")
        )

    both, new = run(
        two_versions(stable=1, canary=2), spec, use, label="stable", canary=canary
    )

    np.testing.assert_array_equal(new, np.arange(50))
    np.testing.assert_array_equal(
        both, [i if canary.takes("m", i) else i + 2 for i in range(50)]
    )


def test_metadata_and_states(two_versions, spec):
    async def use(client):
        assert await client.wait_until_ready(10) == 2
        return await asyncio.gather(client.metadata(), client.status())

    signatures, states = run(two_versions(), spec, use)

    assert "score" in signatures["serving_default"].outputs
    assert [(s.version, s.state) for s in states] == [
        (2, State.AVAILABLE),
        (1, State.AVAILABLE),
    ]


def test_nobody_answers(spec):
    with pytest.raises(ServingError, match="last heard: UNAVAILABLE") as caught:
        run("127.0.0.1:1", spec, lambda c: c.wait_until_ready(0.3))
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_server_that_is_silent(spec):
    async def use(client):
        with pytest.raises(ServingError, match=r"did not serve within 0\.3 s"):
            await client.wait_until_ready(0.3)
        client.timeout = 0.3
        for ask in (client.status, client.metadata):
            with pytest.raises(ServingError) as caught:
                await ask()
            assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED

    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        run(f"127.0.0.1:{server.getsockname()[1]}", spec, use, timeout=30)
    assert time.monotonic() - started < 10


def test_a_call_needs_a_request_in_flight(service, spec):
    with pytest.raises(ValueError, match="in_flight: expected at least 1, found 0"):
        run(service.target, spec, lambda c: c.predict(rows(1), in_flight=0))

"""The loads, on servers that are coroutines."""

import asyncio
import itertools
import time

import pytest

from pipeline.benchmark.serving.load import arrivals, closed_loop, open_loop, run

EVERY_2_MS = [number * 0.002 for number in range(200)]


def paused_server(pause: float):
    """Answers at once, but from its request number 50 on nothing for a while."""
    until = 0.0

    async def send(client, number):
        nonlocal until
        if number == 50:
            until = time.perf_counter() + pause
        await asyncio.sleep(max(0.0, until - time.perf_counter()))

    return send


def slow(outcome, seconds=0.05):
    return sum(latency >= seconds for latency in outcome.latencies)


def test_a_pause_delays_all_requests_that_were_due_meanwhile():
    found = run(open_loop(paused_server(0.1), 1, EVERY_2_MS))
    # Of 100 ms without answers, requests of the first 50 ms wait as long or longer.
    assert len(found.latencies) == 200
    assert slow(found) >= 25


def test_a_closed_loop_sees_the_pause_once():
    found = run(closed_loop(paused_server(0.1), 1, 0.3))
    assert 1 <= slow(found) < 10


def test_what_the_load_itself_sends_late_counts_from_when_it_was_due():
    async def send(client, number):
        if number == 50:
            time.sleep(0.1)  # nothing else runs

    assert slow(run(open_loop(send, 1, EVERY_2_MS))) >= 25


def test_an_open_loop_does_not_wait_for_answers():
    most = waiting = 0

    async def send(client, number):
        nonlocal most, waiting
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0.1)
        waiting -= 1

    run(open_loop(send, 1, [0.0, 0.001, 0.002, 0.003]))
    assert most == 4


def test_a_closed_loop_has_one_request_a_client():
    most, waiting = {}, dict.fromkeys(range(3), 0)

    async def send(client, number):
        waiting[client] += 1
        most[client] = max(most.get(client, 0), waiting[client])
        await asyncio.sleep(0.001)
        waiting[client] -= 1

    found = run(closed_loop(send, 3, 0.05))
    assert most == {0: 1, 1: 1, 2: 1}
    assert found.seconds >= 0.05


def test_clients_take_turns():
    clients = []

    async def send(client, number):
        clients.append(client)

    run(open_loop(send, 2, [0.0, 0.0, 0.0, 0.0]))
    assert clients == [0, 1, 0, 1]


def test_errors_are_counted_and_have_no_latency():
    async def send(client, number):
        if number % 4 == 3:
            raise ValueError(f"number\n{number}")

    found = run(open_loop(send, 1, [0.0] * 12))
    assert (len(found.latencies), found.errors) == (9, 3)
    assert found.first_error == "ValueError: number 3"


def test_arrivals():
    times = arrivals(200.0, 5.0, seed=1)
    assert len(times) == 1000
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 5
    assert times == arrivals(200.0, 5.0, seed=1) != arrivals(200.0, 5.0, seed=2)
    # Gaps of a Poisson process exceed their mean with probability 1/e = 0.368.
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert sum(gap > 0.005 for gap in gaps) / 999 == pytest.approx(0.368, abs=0.06)
    assert len(arrivals(0.0, 1.0, seed=0)) == 1


def test_the_loop_wakes_up_between_milliseconds():
    async def shortest():
        found = []
        for _ in range(50):
            start = time.perf_counter()
            await asyncio.sleep(0.0002)
            found.append(time.perf_counter() - start)
        return min(found)

    assert run(shortest()) < 0.0009

"""The loads, on servers that are functions."""

import itertools
import threading
import time

import pytest

from pipeline.benchmark.serving.load import (
    MOST_WAITING,
    arrivals,
    closed_loop,
    open_loop,
)

EVERY_2_MS = [number * 0.002 for number in range(200)]


def paused_server(pause: float):
    """Answers at once, but from its request number 50 on nothing for a while."""
    until = 0.0

    def send(client, number):
        nonlocal until
        if number == 50:
            until = time.perf_counter() + pause
        time.sleep(max(0.0, until - time.perf_counter()))

    return send


class Waiting:
    """Counts who waits for an answer, by client."""

    def __init__(self, seconds):
        self.most = {}
        self._seconds = seconds
        self._now = {}
        self._lock = threading.Lock()

    def send(self, client, number):
        self._add(client, 1)
        time.sleep(self._seconds)
        self._add(client, -1)

    def _add(self, client, count):
        with self._lock:
            now = self._now[client] = self._now.get(client, 0) + count
            self.most[client] = max(self.most.get(client, 0), now)


def slow(outcome, seconds=0.05):
    return sum(latency >= seconds for latency in outcome.latencies)


def test_a_pause_delays_all_requests_that_were_due_meanwhile():
    found = open_loop(paused_server(0.1), 1, EVERY_2_MS)
    # Of 100 ms without answers, requests of the first 50 ms wait as long or longer.
    assert len(found.latencies) == 200
    assert slow(found) >= 25


def test_a_closed_loop_sees_the_pause_once():
    found = closed_loop(paused_server(0.1), 1, 0.3)
    assert 1 <= slow(found) < 10


def test_what_is_sent_late_counts_from_when_it_was_due():
    # All threads wait, so the last requests are sent when the first are answered.
    count = MOST_WAITING + 10
    found = open_loop(Waiting(0.1).send, 1, [0.0] * count)
    assert len(found.latencies) == count
    assert slow(found, 0.2) >= 10


def test_an_open_loop_does_not_wait_for_answers():
    server = Waiting(0.2)
    open_loop(server.send, 1, [0.0, 0.001, 0.002, 0.003])
    assert server.most == {0: 4}


def test_a_closed_loop_has_one_request_a_client():
    server = Waiting(0.001)
    found = closed_loop(server.send, 3, 0.05)
    assert server.most == {0: 1, 1: 1, 2: 1}
    assert found.seconds >= 0.05


def test_requests_are_not_sent_before_they_are_due():
    sent = []
    times = [0.0, 0.02, 0.02, 0.07]
    start = time.perf_counter()
    open_loop(lambda *_: sent.append(time.perf_counter() - start), 1, times)
    assert all(at >= due for at, due in zip(sorted(sent), times, strict=True))


def test_clients_take_turns():
    numbers = {}

    def send(client, number):
        numbers[number] = client

    open_loop(send, 2, [0.0, 0.0, 0.0, 0.0])
    assert numbers == {0: 0, 1: 1, 2: 0, 3: 1}


def test_errors_are_counted_and_have_no_latency():
    def send(client, number):
        if number % 4 == 3:
            raise ValueError("number\nthree")

    found = open_loop(send, 1, [0.0] * 12)
    assert (len(found.latencies), found.errors) == (9, 3)
    assert found.first_error == "ValueError: number three"


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

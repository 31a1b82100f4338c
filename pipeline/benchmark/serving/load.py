"""Two kinds of load, on whatever sends a request.

The closed loop has so many clients, each of which sends its next request when the
answer to the last one is there: it finds what the server can do. The open loop sends
requests at given times, whatever became of earlier ones, and counts a latency from when
its request was due. So a pause of the server is in the latency of every request that it
held up, which a closed loop omits: its clients send nothing meanwhile.

Locust, the kept tool for this in Python, isn't used. Its users are closed loops, with
`constant_throughput` too: that makes the next pause shorter, by at most its length, so
requests which a slow answer holds up are dropped from the schedule, and latencies
count from the sending. Its statistics keep whole milliseconds, where the bound is 1.5.
And it runs on gevent, for which grpcio's support is experimental
(`grpc.experimental.gevent`; stalls under load in grpc/grpc issues 20215 and 27340).

Requests are sent by threads that wait for their answers, not by an event loop: for gRPC
that takes a quarter less of the processor, which the server may be sharing.

References:
    B. Schroeder, A. Wierman, M. Harchol-Balter: Open Versus Closed: A Cautionary Tale.
    NSDI 2006.
    G. Tene: wrk2, on coordinated omission. https://github.com/giltene/wrk2
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.benchmark.serving.latency import Outcome

Send = Callable[[int, int], None]
"""Sends a request, of which it gets the number, by a client; raises if it fails. Many
threads call it at a time."""

#: Requests of an open loop that wait for an answer at a time, more than the embedded
#: server takes. Those that are due then are sent late, which counts as their latency.
MOST_WAITING = 128


class _Record:
    """Takes down what becomes of each request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start = time.perf_counter()
        self._latencies: list[float] = []
        self._errors: list[str] = []

    def since_start(self) -> float:
        return time.perf_counter() - self._start

    def request(self, client: int, number: int, due: float) -> None:
        try:
            self._send(client, number)
        except Exception as error:
            self._errors.append(_one_line(error))
        else:
            self._latencies.append(self.since_start() - due)

    def outcome(self) -> Outcome:
        first_error = self._errors[0] if self._errors else ""
        return Outcome(
            self._latencies, len(self._errors), self.since_start(), first_error
        )


def closed_loop(send: Send, clients: int, seconds: float) -> Outcome:
    """Each client sends one request after the other.

    Args:
        send: Sends one.
        clients: Number of clients.
        seconds: How long requests are begun.
    """
    record = _Record(send)
    numbers = itertools.count()

    def work(client: int) -> None:
        while (now := record.since_start()) < seconds:
            record.request(client, next(numbers), now)

    _in_threads(work, range(clients))
    return record.outcome()


def open_loop(send: Send, clients: int, times: Sequence[float]) -> Outcome:
    """Sends requests when they are due, each by the next client.

    Args:
        send: Sends one.
        clients: Number of clients.
        times: When requests are due: seconds from the start, ascending.
    """
    record = _Record(send)
    requests = enumerate(times)
    turn = threading.Lock()

    def work(_: int) -> None:
        while True:
            # Whoever has the turn waits for the next one that is due and sends it by
            # itself, since to hand it to another thread would take its time.
            with turn:
                number, due = next(requests, (-1, 0.0))
                if number < 0:
                    return
                time.sleep(max(0.0, due - record.since_start()))
            record.request(number % clients, number, due)

    _in_threads(work, range(min(MOST_WAITING, len(times))))
    return record.outcome()


def _in_threads(work: Callable[[int], None], numbers: Sequence[int]) -> None:
    with ThreadPoolExecutor(len(numbers)) as pool:
        for job in [pool.submit(work, number) for number in numbers]:
            job.result()


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Times of requests that come independently of each other: a Poisson process.

    Args:
        rate: Requests per second, on average.
        seconds: Until when.
        seed: The same one gives the same times.

    Returns:
        Seconds from the start, ascending; at least one.
    """
    rng = np.random.default_rng(seed)
    count = max(1, round(rate * seconds))
    # Given how many there are, the times of a Poisson process are uniform.
    return sorted((rng.random(count) * seconds).tolist())


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]

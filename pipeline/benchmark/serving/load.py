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

References:
    B. Schroeder, A. Wierman, M. Harchol-Balter: Open Versus Closed: A Cautionary Tale.
    NSDI 2006.
    G. Tene: wrk2, on coordinated omission. https://github.com/giltene/wrk2
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from pipeline.benchmark.serving.latency import Outcome

Send = Callable[[int, int], Coroutine[Any, Any, None]]
"""Sends a request, of which it gets the number, by a client; raises if it fails."""

_T = TypeVar("_T")


class _Record:
    """Takes down what becomes of each request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._latencies: list[float] = []
        self._errors = 0
        self._first_error = ""

    async def request(self, client: int, number: int, due: float) -> None:
        try:
            await self._send(client, number)
        except Exception as error:
            self._errors += 1
            self._first_error = self._first_error or _told(error)
        else:
            self._latencies.append(time.perf_counter() - due)

    def outcome(self, seconds: float) -> Outcome:
        return Outcome(self._latencies, self._errors, seconds, self._first_error)


async def closed_loop(send: Send, clients: int, seconds: float) -> Outcome:
    """Each client sends one request after the other.

    Args:
        send: Sends one.
        clients: Number of clients.
        seconds: How long requests are begun.
    """
    record = _Record(send)
    numbers = itertools.count()
    start = time.perf_counter()

    async def work(client: int) -> None:
        while (now := time.perf_counter()) < start + seconds:
            await record.request(client, next(numbers), now)

    await asyncio.gather(*map(work, range(clients)))
    return record.outcome(time.perf_counter() - start)


async def open_loop(send: Send, clients: int, times: Sequence[float]) -> Outcome:
    """Sends requests when they are due, each by the next client.

    Args:
        send: Sends one.
        clients: Number of clients.
        times: When requests are due: seconds from the start, ascending.
    """
    record = _Record(send)
    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number, offset in enumerate(times):
            due = start + offset
            # Also when late, so that answers are taken in time.
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(record.request(number % clients, number, due))
    return record.outcome(time.perf_counter() - start)


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


def run(load: Coroutine[Any, Any, _T]) -> _T:
    """Runs a load in an event loop that wakes up within microseconds.

    The usual one sleeps in epoll, which counts in milliseconds, and would add one to
    latencies of about as many.

    Args:
        load: What to run.
    """
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        return runner.run(load)


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]

"""Sends a load in a process of its own, which shares no interpreter with a server.

The process imports no TensorFlow: requests are bytes, made beforehand, and answers stay
bytes.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import grpc
import urllib3

from pipeline.benchmark.serving.cores import bind
from pipeline.benchmark.serving.latency import Outcome
from pipeline.benchmark.serving.load import (
    MOST_WAITING,
    Send,
    closed_loop,
    open_loop,
)

ProtocolName = Literal["grpc", "rest"]

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_TIMEOUT = 10.0
_CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),  # else all clients share a connection
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
]


@dataclasses.dataclass(frozen=True)
class Job:
    """A load.

    Attributes:
        protocol: How requests are sent.
        target: Host and port; for REST, the URL.
        payloads: Different requests, which are sent in turn.
        clients: Number of clients, each with a connection of its own.
        seconds: How long a closed loop goes on.
        times: When the requests of an open loop are due; None for a closed one.
    """

    protocol: ProtocolName
    target: str
    payloads: Sequence[bytes]
    clients: int
    seconds: float = 0.0
    times: Sequence[float] | None = None


class Generator:
    """A process that sends loads; a context manager, which ends it.

    Args:
        cores: Those that it is bound to; None for all.
    """

    def __init__(self, cores: frozenset[int] | None = None) -> None:
        self._process = concurrent.futures.ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=functools.partial(bind, cores) if cores else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.shutdown(cancel_futures=True)

    def send(self, job: Job) -> Outcome:
        """Sends a load and waits for its outcome.

        Args:
            job: The load.
        """
        return self._process.submit(send_load, job).result()


def send_load(job: Job) -> Outcome:
    """Sends a load from this process.

    Args:
        job: The load.
    """
    connect = _grpc if job.protocol == "grpc" else _rest
    with connect(job) as send:
        # Opens the connections; what fails here will fail again, and be counted.
        for client in range(job.clients):
            with contextlib.suppress(Exception):
                send(client, client)
        if job.times is None:
            return closed_loop(send, job.clients, job.seconds)
        return open_loop(send, job.clients, job.times)


@contextlib.contextmanager
def _grpc(job: Job) -> Iterator[Send]:
    with contextlib.ExitStack() as stack:
        calls = []
        for _ in range(job.clients):
            channel = grpc.insecure_channel(job.target, options=_CHANNEL)
            stack.enter_context(channel)
            calls.append(channel.unary_unary(_PREDICT))

        def send(client: int, number: int) -> None:
            payload = job.payloads[number % len(job.payloads)]
            calls[client](payload, timeout=_TIMEOUT)

        yield send


@contextlib.contextmanager
def _rest(job: Job) -> Iterator[Send]:
    path = urllib3.util.parse_url(job.target).request_uri
    with contextlib.ExitStack() as stack:
        pools = []
        for _ in range(job.clients):
            pool = urllib3.connection_from_url(
                job.target, maxsize=MOST_WAITING, retries=False, timeout=_TIMEOUT
            )
            pools.append(stack.enter_context(pool))

        def send(client: int, number: int) -> None:
            payload = job.payloads[number % len(job.payloads)]
            response = pools[client].urlopen("POST", path, body=payload)
            if response.status != 200:
                text = response.data.decode(errors="replace")
                raise ConnectionError(f"status {response.status}: {text}")

        yield send

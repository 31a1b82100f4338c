"""A soak at half of the measured capacity: no error, and memory stays level.

The length is that of MIDPG_SOAK_SECONDS, 20 s by default; `--log-cli-level=INFO` shows
the figures.
"""

import concurrent.futures
import dataclasses
import gc
import http.client
import itertools
import json
import logging
import os
import statistics
import threading
import time

import pytest

pytestmark = pytest.mark.robustness

SECONDS = float(os.environ.get("MIDPG_SOAK_SECONDS", "20"))
CALLERS = 4
MEASURING = 3.0

log = logging.getLogger("soak")


@dataclasses.dataclass
class Client:
    """Asks over gRPC, and each fifth time over REST."""

    stubs: object
    predict_request: object
    rest: str
    local: threading.local = dataclasses.field(default_factory=threading.local)

    def ask(self, number):
        rows = [float(number % 1000 + row) for row in range((1, 8, 64)[number % 3])]
        answers = self.over_rest(rows) if number % 5 == 0 else self.over_grpc(rows)
        assert answers == [2 * x + 1 for x in rows]

    def over_grpc(self, rows):
        request = self.predict_request({"x": rows})
        response = self.stubs.predictions.Predict(request, timeout=20)
        return list(response.outputs["y"].float_val)

    def over_rest(self, rows):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.rest, timeout=20)
        connection = self.local.connection
        connection.request("POST", "/v1/models/m:predict", json.dumps({"inputs": rows}))
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return json.loads(body)["outputs"]


@pytest.fixture
def no_garbage():
    """Keeps what other tests left from halting this process, which is the client."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def capacity(client):
    """Measures the requests a second of callers that ask as fast as they can."""
    end = time.monotonic() + MEASURING

    def ask():
        for number in itertools.count():
            if time.monotonic() > end:
                return number
            client.ask(number)
        return 0

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        asked = [pool.submit(ask) for _ in range(CALLERS)]
    return sum(future.result() for future in asked) / MEASURING


def soak(client, rate, memory):
    """Asks at a rate, whether answers come or not; gives latencies and memory."""
    latencies, figures = [], []

    def ask(number, due):
        client.ask(number)
        latencies.append(time.monotonic() - due)

    def send():
        start = time.monotonic()
        for number in range(int(rate * SECONDS)):
            due = start + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            yield pool.submit(ask, number, due)

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        asked = pool.submit(list, send())
        while not asked.done():
            time.sleep(SECONDS / 20)
            figures.append(memory())
        for future in asked.result():
            future.result()
    return latencies, figures


def test_a_soak(
    launch, lines, publish, tmp_path, connect, predict_request, memory, no_garbage
):
    publish(lines[1], tmp_path, 1)
    server = launch(tmp_path, rest_api_port=-1)
    client = Client(connect(server.target), predict_request, server.rest_target)

    most = capacity(client)
    latencies, figures = soak(client, most / 2, lambda: memory(server))

    # The first fifth is for what grows once.
    level, *later = figures[3:]
    log.info(
        "capacity %.0f/s; %d requests at half of it, latency %.1f ms (p50), %.1f ms"
        " (p99); memory %.0f MiB, %+.2f %% at most, %+.2f %% at the end",
        most,
        len(latencies),
        statistics.median(latencies) * 1e3,
        statistics.quantiles(latencies, n=100)[-1] * 1e3,
        level / 2**20,
        (max(later) / level - 1) * 100,
        (later[-1] / level - 1) * 100,
    )
    assert len(latencies) == int(SECONDS * most / 2)
    assert max(later) <= 1.05 * level

"""A description of rows, and a server that answers as it is told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from midpg_tf.spec import DatasetSpec
from serving.status import State


@pytest.fixture(scope="session")
def spec() -> DatasetSpec:
    """Rows of kind (categorical), x (numeric) and tags (multivalued)."""
    return DatasetSpec.model_validate(
        {
            "name": "m",
            "data": {"format": "csv", "path": "rows.csv", "split": {"by": "hash"}},
            "label": {"name": "liked"},
            "scenario": ["kind"],
            "features": {
                "kind": {"kind": "categorical"},
                "x": {"kind": "numeric", "default": -1},
                "tags": {"kind": "multivalued"},
            },
        }
    )


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Scores a row with its x, and a row of kind `b` with 100 more.

    Attributes:
        failures: Codes of the next answers, before the first score.
        hold: Requests wait for it.
        requests: The requests that came, failed ones too.
        times: Seconds that each had left.
        peers: The connections that they came by.
        running: Requests under way.
        most_running: Most that were at a time.
    """

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.hold = threading.Event()
        self.hold.set()
        self.requests: list[Any] = []
        self.times: list[float] = []
        self.peers: set[str] = set()
        self.running = self.most_running = 0
        self.target = ""
        self._lock = threading.Lock()

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._begin(request, context)
        examples = request.inputs["examples"].string_val
        response = predict_pb2.PredictResponse()
        scores = [score(tf.train.Example.FromString(raw)) for raw in examples]
        response.outputs["score"].CopyFrom(tf.make_tensor_proto(scores, tf.float32))
        return response

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._begin(request, context)
        response = regression_pb2.RegressionResponse()
        content = request.input.example_list_with_context
        for own in content.examples:
            example = tf.train.Example()
            example.MergeFrom(content.context)
            example.MergeFrom(own)
            response.result.regressions.add(value=score(example))
        return response

    def _begin(self, request: Any, context: grpc.ServicerContext) -> None:
        with self._lock:
            self.requests.append(request)
            self.times.append(context.time_remaining())
            self.peers.add(context.peer())
            code = self.failures.pop(0) if self.failures else None
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self.hold.wait(10)
        with self._lock:
            self.running -= 1
        if code is not None:
            context.abort(code, f"as told: {code.name}")


def score(example: tf.train.Example) -> float:
    features = example.features.feature
    x = features["x"].float_list.value[0]
    return x + 100 * (features["kind"].bytes_list.value[0] == b"b")


@contextlib.contextmanager
def running() -> Iterator[Service]:
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(32))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    service.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield service
    service.hold.set()
    server.stop(0).wait()


@pytest.fixture
def service() -> Iterator[Service]:
    with running() as service:
        yield service


@pytest.fixture
def another_service() -> Iterator[Service]:
    with running() as service:
        yield service


@pytest.fixture
def two_versions(
    models, publish, tmp_path, serve, connect, eventually, entry, write_config, states
) -> Callable[..., str]:
    """Serves ranker (a, b, c) as version 1 and ranker (c, b, a) as version 2.

    Gives the address of a server that knows the versions by the labels given.
    """

    def start(**labels: int) -> str:
        publish(models.ranker, tmp_path / "m", 1)
        publish(models.other_ranker, tmp_path / "m", 2)
        config = tmp_path / "models.config"
        write_config(config, entry(tmp_path, "m", "all {}", **labels))
        target = serve(
            model_config_file=str(config),
            # At the start, none is available yet.
            allow_version_labels_for_unavailable_models=True,
        ).target
        both = {1: State.AVAILABLE, 2: State.AVAILABLE}
        stubs = connect(target)
        eventually(lambda: states(stubs, "m") == both)
        return target

    return start

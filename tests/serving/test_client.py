"""Rows to scores over a real port."""

import socket
import threading

import grpc
import numpy as np
import pytest

from midpg_tf.spec import DatasetSpec, RowError
from serving.client import Client, RequestRowError
from serving.errors import ServingError
from serving.status import State


@pytest.fixture(scope="module")
def spec():
    return DatasetSpec.model_validate(
        {
            "name": "m",
            "data": {"format": "csv", "path": "rows.csv", "split": {"by": "hash"}},
            "label": {"name": "liked"},
            "scenario": ["kind"],
            "features": {"kind": {"kind": "categorical"}, "x": {"kind": "numeric"}},
        }
    )


@pytest.fixture
def server(models, publish, tmp_path, serve):
    publish(models.ranker, tmp_path, 3)
    return serve(tmp_path)


@pytest.fixture
def client(server, spec):
    with Client(server.target, "m", spec) as client:
        yield client


def test_rows_are_scored_in_order(client):
    scores = client.predict(
        [
            {"kind": "c", "x": 1},
            {"kind": "a", "x": "0.5", "more": 1},
            {"kind": "?", "x": 0},
        ]
    )

    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, [3.0, 0.5, 3.0])


def test_no_rows_give_no_scores(client):
    assert client.predict([]).shape == (0,)


def test_many_rows_go_in_several_requests(server, spec, monkeypatch):
    sizes = []
    with Client(server.target, "m", spec, rows_per_request=1000) as client:
        send = client._predict
        monkeypatch.setattr(
            client, "_predict", lambda chunk: sizes.append(len(chunk)) or send(chunk)
        )
        scores = client.predict({"kind": "a", "x": i} for i in range(2500))

    assert sizes == [1000, 1000, 500]
    np.testing.assert_array_equal(scores, np.arange(2500, dtype=np.float32))


def test_a_bad_row_is_named(client):
    with pytest.raises(RequestRowError, match=r"^rows\[1\]: column 'x': ") as caught:
        client.predict([{"kind": "a", "x": 1}, {"kind": "a", "x": "many"}])

    assert (caught.value.index, caught.value.column) == (1, "x")
    assert isinstance(caught.value, RowError)
    with pytest.raises(RequestRowError, match=r"rows\[0\]: column 'kind'"):
        client.predict([{"x": 1}])


def test_metadata(client):
    signature = client.metadata()["serving_default"]

    assert list(signature.inputs) == ["examples"]
    assert "score" in signature.outputs


def test_status(client):
    (status,) = client.status()

    assert (status.version, status.state, status.error) == (3, State.AVAILABLE, None)


def test_status_tells_why_a_load_failed(client, models, publish, tmp_path, eventually):
    publish(models.ranker, tmp_path, 4, truncated=True)
    eventually(lambda: client.status()[0].state is State.END)

    error = client.status()[0].error

    assert error is not None
    assert error.code is grpc.StatusCode.DATA_LOSS


def test_an_error_of_the_server(server, spec):
    with (
        Client(server.target, "q", spec) as client,
        pytest.raises(ServingError, match=r"Latest\(q\)") as caught,
    ):
        client.predict([{"kind": "a", "x": 1}])
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_a_model_with_other_outputs(models, publish, tmp_path, serve, spec):
    publish(models.half_plus_two, tmp_path, 1)
    target = serve(tmp_path).target

    with (
        Client(target, "m", spec) as client,
        pytest.raises(ServingError, match="examples") as caught,
    ):
        client.predict([{"kind": "a", "x": 1}])
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_nobody_answers(spec):
    with Client("127.0.0.1:1", "m", spec, timeout=5) as client:
        with pytest.raises(ServingError) as caught:
            client.predict([{"kind": "a", "x": 1}])
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE

        with pytest.raises(ServingError, match="last heard: UNAVAILABLE") as caught:
            client.wait_until_ready(0.3)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_time_is_over(models, publish, tmp_path, serve, spec):
    publish(models.ranker, tmp_path, 1)
    target = serve(tmp_path).target

    with (
        Client(target, "m", spec, timeout=1e-6) as client,
        pytest.raises(ServingError) as caught,
    ):
        client.predict([{"kind": "a", "x": 1}])
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_wait_until_ready(models, publish, tmp_path, serve, spec):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    thread = threading.Thread(target=serve, args=(tmp_path,), kwargs={"port": port})
    thread.start()
    threading.Timer(0.3, publish, (models.ranker, tmp_path, 8)).start()

    with Client(f"127.0.0.1:{port}", "m", spec) as client:
        assert client.wait_until_ready(10) == 8
    thread.join()


def test_a_request_needs_room_for_a_row(spec):
    with pytest.raises(
        ValueError, match="rows_per_request: expected at least 1, found 0"
    ):
        Client("127.0.0.1:1", "m", spec, rows_per_request=0)

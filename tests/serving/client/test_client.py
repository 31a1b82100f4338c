"""Rows to scores over a real port."""

import socket
import threading
import time

import grpc
import numpy as np
import pandas as pd
import pytest

from midpg_tf.spec import RowError
from serving.client import Canary, Client, RequestRowError
from serving.errors import ServingError
from serving.status import State


def row(kind, x, **more):
    return {"kind": kind, "x": x, "tags": "", **more}


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
            row("c", 1),
            row("a", "0.5", more=1),
            row("?", 0),
        ]
    )

    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, [3.0, 0.5, 3.0])


def test_no_rows_give_no_scores(client):
    assert client.predict([]).shape == (0,)


def test_many_rows_go_in_several_requests(service, spec):
    with Client(service.target, "m", spec, rows_per_request=1000) as client:
        scores = client.predict(row("a", i) for i in range(2500))

    sizes = [len(request.inputs["examples"].string_val) for request in service.requests]
    assert sizes == [1000, 1000, 500]
    np.testing.assert_array_equal(scores, np.arange(2500, dtype=np.float32))


def test_frames_are_scored(client):
    frame = pd.DataFrame([row("c", 1.0), row("a", np.nan)], index=[7, 7])

    np.testing.assert_array_equal(client.predict(frame), [3.0, -1.0])


def test_a_bad_row_is_named(client):
    with pytest.raises(RequestRowError, match=r"^rows\[1\]: column 'x': ") as caught:
        client.predict([row("a", 1), row("a", "many")])

    assert (caught.value.index, caught.value.column) == (1, "x")
    assert isinstance(caught.value, RowError)
    with pytest.raises(RequestRowError, match=r"rows\[0\]: column 'kind'"):
        client.predict([{"x": 1, "tags": ""}])


def test_metadata(client):
    signature = client.metadata()["serving_default"]

    assert list(signature.inputs) == ["examples"]
    assert "score" in signature.outputs


def test_status(client):
    (status,) = client.status()

    assert (status.version, status.state, status.error) == (3, State.AVAILABLE, None)


def test_status_tells_why_a_load_failed(
    client, spec, models, publish, tmp_path, eventually
):
    publish(models.ranker, tmp_path, 4, truncated=True)
    eventually(lambda: client.status()[0].state is State.END)

    error = client.status()[0].error

    assert error is not None
    assert error.code is grpc.StatusCode.DATA_LOSS
    with (
        Client(client.target, "m", spec, version=4) as waiting,
        pytest.raises(ServingError, match="last heard: version 4 END DATA_LOSS: "),
    ):
        waiting.wait_until_ready(0.1)


def test_an_error_of_the_server(server, spec):
    with (
        Client(server.target, "q", spec) as client,
        pytest.raises(ServingError, match=r"Latest\(q\)") as caught,
    ):
        client.predict([row("a", 1)])
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_a_model_with_other_outputs(models, publish, tmp_path, serve, spec):
    publish(models.half_plus_two, tmp_path, 1)
    target = serve(tmp_path).target

    with (
        Client(target, "m", spec) as client,
        pytest.raises(ServingError, match="examples") as caught,
    ):
        client.predict([row("a", 1)])
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_nobody_answers(spec):
    with Client("127.0.0.1:1", "m", spec, timeout=5) as client:
        with pytest.raises(ServingError) as caught:
            client.predict([row("a", 1)])
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE

        with pytest.raises(ServingError, match="last heard: UNAVAILABLE") as caught:
            client.wait_until_ready(0.3)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.fixture
def silent():
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


# 0 seconds are for one question, not for as many as a request may take.
@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_wait_ends_whoever_is_silent(silent, spec, seconds):
    started = time.monotonic()

    with (
        Client(silent, "m", spec, timeout=30) as client,
        pytest.raises(ServingError, match=f"did not serve within {seconds:g} s"),
    ):
        client.wait_until_ready(seconds)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("ask", [Client.metadata, Client.status])
def test_each_question_has_its_time(silent, spec, ask):
    started = time.monotonic()

    with (
        Client(silent, "m", spec, timeout=0.3) as client,
        pytest.raises(ServingError) as caught,
    ):
        ask(client)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 10


def test_a_client_that_was_closed(client):
    client.predict([row("a", 1)])
    client.close()

    with pytest.raises(ValueError, match="closed"):
        client.predict([row("a", 1)])


def test_the_time_is_over(models, publish, tmp_path, serve, spec):
    publish(models.ranker, tmp_path, 1)
    target = serve(tmp_path).target

    with (
        Client(target, "m", spec, timeout=1e-6) as client,
        pytest.raises(ServingError) as caught,
    ):
        client.predict([row("a", 1)])
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


def test_waits_for_the_version_that_it_asks(two_versions, spec):
    target = two_versions()

    with Client(target, "m", spec, version=1) as client:
        assert client.wait_until_ready(10) == 1
    with (
        Client(target, "m", spec, version=3) as client,
        pytest.raises(ServingError, match=r"version 3 of model m at .*AVAILABLE"),
    ):
        client.wait_until_ready(0.1)


def test_versions_and_labels(two_versions, spec):
    target = two_versions(stable=1, canary=2)

    def scores(*, predict=None, **arguments):
        with Client(target, "m", spec, **arguments) as client:
            # Position of c in the vocabulary: 2 in version 1, 0 in version 2.
            return client.predict([row("c", 0)], **predict or {}).item()

    assert scores() == 0
    assert scores(version=1) == scores(label="stable") == 2
    assert scores(version=1, predict={"version": 2}) == 0
    assert scores(label="canary", predict={"label": "stable"}) == 2
    with pytest.raises(ServingError, match="label: beta"):
        scores(label="beta")
    with pytest.raises(ServingError, match=r"Specific\(m, 7\)"):
        scores(version=7)
    with (
        Client(target, "m", spec, version=7) as client,
        pytest.raises(ServingError, match=r"Specific\(m, 7\)"),
    ):
        client.metadata()
    with pytest.raises(ValueError, match="expected a version or a label"):
        scores(version=1, label="stable")


def test_a_canary(two_versions, spec):
    target = two_versions(stable=1, canary=2)
    canary = Canary("canary", 0.3, "user")
    rows = [row("c", i, user=i) for i in range(200)]
    expected = [i if canary.takes("m", i) else i + 2 for i in range(200)]

    with Client(
        target, "m", spec, label="stable", canary=canary, rows_per_request=16
    ) as client:
        np.testing.assert_array_equal(client.predict(rows), expected)


def test_a_canary_that_the_server_does_not_know(two_versions, spec):
    canary = Canary("canary", 1.0, "user")

    with (
        Client(two_versions(stable=1), "m", spec, label="stable", canary=canary) as c,
        pytest.raises(
            ServingError,
            match=r"^INVALID_ARGUMENT: canary: Unrecognized servable version label:"
            " canary; expected the label 'canary' on a version that serves",
        ),
    ):
        c.predict([row("c", 0, user=1)])


def test_a_canary_whose_version_does_not_serve(two_versions, spec):
    canary = Canary("canary", 1.0, "user")
    target = two_versions(stable=1, canary=9)

    with (
        Client(target, "m", spec, label="stable", canary=canary) as client,
        pytest.raises(
            ServingError,
            match=r"^NOT_FOUND: canary: .* expected the label 'canary' on a version",
        ),
    ):
        client.predict([row("c", 0, user=1)])


def test_a_model_that_takes_no_context(client):
    with pytest.raises(ServingError, match="name: regress; the model was exported wit"):
        client.predict([{"x": 1}], {"kind": "a", "tags": ""})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows_per_request": 0}, "rows_per_request: expected at least 1, found 0"),
        ({"attempts": 0}, "attempts: expected 1 to 5, found 0"),
        ({"attempts": 6}, "attempts: expected 1 to 5, found 6"),
    ],
)
def test_a_wrong_argument(spec, arguments, message):
    with pytest.raises(ValueError, match=message):
        Client("127.0.0.1:1", "m", spec, **arguments)

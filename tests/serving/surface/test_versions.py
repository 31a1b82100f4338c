"""Versions and warm-up: policies, polling, hot swaps, loads that fail, first ports."""

import threading
import time

import grpc
import pytest
from tensorflow_serving.apis import prediction_log_pb2

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("surface")]

NOT_FOUND = grpc.StatusCode.NOT_FOUND
LOADING, AVAILABLE, END = 20, 30, 50


@pytest.mark.parametrize(
    ("model", "served", "missing"),
    [
        pytest.param("latest", {2: 3.0}, 1, id="latest-1"),
        pytest.param("m", {1: 2.0, 2: 3.0}, 3, id="all"),
        pytest.param("specific", {1: 2.0, 3: 2.0}, 2, id="specific"),
    ],
)
def test_a_policy(server, stubs, states, score, error_of, model, served, missing):
    assert {v for v, s in states(stubs, model).items() if s == AVAILABLE} == set(served)
    assert {version: score(stubs, model, version) for version in served} == served
    # No number, no version: there are folders 4x, v5 and tmp, too.
    assert score(stubs, model) == served[max(served)]
    assert error_of(score, stubs, model, missing) == (
        NOT_FOUND,
        f"Servable not found for request: Specific({model}, {missing})",
    )


@pytest.fixture
def there(polled, connect):
    """The stubs of `polled`."""
    return connect(polled.server.target)


def test_a_swap_loses_no_request(
    polled, there, models, push, predict_request, states, score, error_of, eventually
):
    answers, failures, gaps, done = [], [], [], threading.Event()

    def ask():
        request = predict_request({"x": [0.0]}, model="swapped")
        while not done.is_set():
            try:
                response = there.predictions.Predict(request, timeout=10)
            except grpc.RpcError as error:
                failures.append(error.details())
                return
            version = response.model_spec.version.value
            answers.append((version, response.outputs["y"].float_val[0]))

    def look():
        while not done.wait(0.01):
            found = states(there, "swapped")
            if AVAILABLE not in found.values():
                gaps.append(found)

    threads = [threading.Thread(target=run) for run in (ask, ask, look)]
    for thread in threads:
        thread.start()
    push(models.half_plus_three, polled.root / "swapped", 2)
    eventually(lambda: failures or (answers and answers[-1][0] == 2))
    eventually(lambda: states(there, "swapped") == {1: END, 2: AVAILABLE})
    done.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert gaps == []
    assert set(answers) == {(1, 2.0), (2, 3.0)}
    assert error_of(score, there, "swapped", 1)[0] is NOT_FOUND


def test_the_latest_two_are_served(
    polled, there, models, push, states, score, eventually
):
    base = polled.root / "two"
    push(models.half_plus_three, base, 3)
    # There is a look at the folder each second.
    eventually(lambda: 3 in states(there, "two"), timeout=3)
    eventually(lambda: states(there, "two") == {1: AVAILABLE, 3: AVAILABLE})

    push(models.half_plus_two, base, 2)

    eventually(lambda: states(there, "two").get(2) == AVAILABLE)
    eventually(lambda: states(there, "two") == {1: END, 2: AVAILABLE, 3: AVAILABLE})
    assert score(there, "two") == 3


def test_a_version_is_complete_with_its_graph(
    backend, polled, there, models, publish, push, states, score, eventually
):
    base = polled.root / "partial"
    publish(models.half_plus_three, base, 2, complete=False)
    # More than the second from one look to the next.
    time.sleep(1.5)

    # Upstream takes any integer folder, and fails to load it.
    assert (2 in states(there, "partial")) == (backend != "embedded")
    assert score(there, "partial") == 2
    if backend == "embedded":
        publish(models.half_plus_three, base, 2)
        eventually(lambda: states(there, "partial")[1] == END)
        assert score(there, "partial", 2) == 3
    push(models.half_plus_two, base, 3)
    eventually(lambda: states(there, "partial").get(3) == AVAILABLE)


def test_a_failed_load_is_tried_again_and_then_given_up(
    polled, there, counted, push, states, score, eventually
):
    push(counted.path, polled.root / "broken", 2, counted.warmup)
    eventually(lambda: states(there, "broken").get(2) == LOADING)
    started = time.monotonic()
    eventually(lambda: states(there, "broken")[2] == END)

    assert counted.loads() == 2
    # The interval, less what the first look at it may have come late.
    assert time.monotonic() - started > 0.7
    assert states(there, "broken")[1] == AVAILABLE
    assert score(there, "broken") == 2


def test_a_failed_load_is_not_tried_again_at_once(
    stubs, shared_root, counted, push, states, score, eventually
):
    push(counted.path, shared_root / "patient", 2, counted.warmup)
    eventually(counted.loads)
    # Of the minute that it waits by default.
    time.sleep(2)

    assert counted.loads() == 1
    assert states(stubs, "patient") == {1: AVAILABLE, 2: LOADING}
    assert score(stubs, "patient") == 2


def test_a_thousand_requests_of_warm_up(
    polled, there, models, push, predict_request, states, eventually
):
    record = predict_request({"x": [1.0]})

    push(models.half_plus_three, polled.root / "warm", 2, *[record] * 1000)
    eventually(lambda: states(there, "warm") == {1: END, 2: AVAILABLE})

    push(models.half_plus_two, polled.root / "warm", 3, *[record] * 1001)
    eventually(lambda: states(there, "warm").get(3) == END, timeout=20)
    assert states(there, "warm")[2] == AVAILABLE


def test_warm_up_that_fails_fails_the_load(
    polled, there, models, push, predict_request, states, score, eventually
):
    log = prediction_log_pb2.PredictionLog()
    log.classify_log.request.model_spec.signature_name = "s"
    expected = {
        2: (predict_request({"x": [11.0]}, signature="fail"), "too large"),
        3: (log, "No signature was found with the name: s"),
        4: (b"no PredictionLog", "Failed to parse warmup record"),
    }

    for version, (record, _) in expected.items():
        push(models.half_plus_three, polled.root / "cold", version, record)

    ended = {1: AVAILABLE, 2: END, 3: END, 4: END}
    eventually(lambda: states(there, "cold") == ended, timeout=20)
    for version, (_, message) in expected.items():
        answer = polled.server.rest(f"/v1/models/cold/versions/{version}").json()
        (status,) = [entry["status"] for entry in answer["model_version_status"]]
        assert status["error_code"] != "OK"
        assert message in status["error_message"]
    assert score(there, "cold") == 2


def test_a_request_of_rest_has_its_time(polled, rest_error):
    body = {"signature_name": "sleep", "inputs": 30.0}
    started = time.monotonic()

    code, _ = rest_error(polled.server.rest("/v1/models/steady:predict", body))

    assert code == 504
    assert time.monotonic() - started < 10


def test_the_ports_open_after_the_first_load(start, models, push, tmp_path, eventually):
    base = tmp_path / "m"
    base.mkdir()
    server = start(model_name="m", model_base_path=base)
    eventually(lambda: f"base path {base}" in server.output(), timeout=60)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert not server.is_open(server.port)
        assert not server.is_open(server.rest_port)
        assert server.process.poll() is None
        time.sleep(0.1)

    push(models.half_plus_two, base, 1)

    server.wait_until_ready(m={1})

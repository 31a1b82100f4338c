"""Deadlines, limits, batching, isolation, metrics, health and TLS, over real ports."""

import concurrent.futures
import re
import socket
import threading
import time

import grpc
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_service_pb2_grpc

from serving.embedded import rest_json
from serving.embedded.server import ModelServer
from serving.errors import ServingError, invalid

pytestmark = pytest.mark.e2e

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DEADLINE = grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.fixture
def base(models, publish, tmp_path):
    publish(models.half_plus_two, tmp_path / "m", 1)
    return tmp_path / "m"


def codes(calls):
    return [call.code() for call in calls]


def test_a_run_is_cancelled_after_its_deadline(base, serve, connect, predict_request):
    stubs = connect(serve(base, max_running_per_model=1).target).predictions
    slow = predict_request({"seconds": 60.0}, signature="sleep")

    call = stubs.Predict.future(slow, timeout=0.1)
    assert call.code() is DEADLINE

    # The only turn is free again.
    stubs.Predict(predict_request({"x": [1.0]}), timeout=5)


@pytest.mark.parametrize("isolate_models", [True, False])
def test_a_deadline_in_weeks(base, serve, connect, predict_request, isolate_models):
    stubs = connect(serve(base, isolate_models=isolate_models).target).predictions
    four_weeks = 28 * 24 * 3600.0

    answer = stubs.Predict(predict_request({"x": [1.0]}), timeout=four_weeks)

    assert list(answer.outputs["y"].float_val) == [2.5]


def test_the_requests_to_a_model_are_bounded(base, serve, connect, predict_request):
    server = serve(base, max_running_per_model=2, max_waiting_per_model=1)
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 0.5}, signature="sleep")

    calls = [stubs.Predict.future(slow, timeout=10) for _ in range(5)]

    assert sorted(codes(calls), key=str).count(EXHAUSTED) == 2
    assert codes(calls).count(grpc.StatusCode.OK) == 3


def test_metadata_of_a_busy_model(base, serve, connect, predict_request):
    server = serve(base, max_running_per_model=1, max_waiting_per_model=0)
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 1.0}, signature="sleep")
    running = stubs.Predict.future(slow, timeout=10)
    time.sleep(0.2)
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    request.model_spec.name = "m"

    assert stubs.GetModelMetadata(request, timeout=5).model_spec.version.value == 1
    assert not running.done()


def test_a_request_may_not_wait_longer_than_its_deadline(
    base, serve, connect, predict_request
):
    server = serve(base, max_running_per_model=1)
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 2.0}, signature="sleep")
    first = stubs.Predict.future(slow, timeout=10)
    time.sleep(0.1)

    code = stubs.Predict.future(predict_request({"x": [1.0]}), timeout=0.2).code()

    assert code is DEADLINE
    assert not first.done()
    assert first.code() is grpc.StatusCode.OK


def test_callers_that_go_leave_the_queue(base, serve, connect, predict_request):
    server = serve(base, max_running_per_model=1, max_waiting_per_model=2)
    stubs = connect(server.target).predictions
    first = stubs.Predict.future(
        predict_request({"seconds": 1.5}, signature="sleep"), timeout=10
    )
    time.sleep(0.2)
    slow = predict_request({"seconds": 5.0}, signature="sleep")
    gone = [stubs.Predict.future(slow) for _ in range(2)]
    time.sleep(0.2)
    quick = predict_request({"x": [1.0]})
    assert stubs.Predict.future(quick, timeout=10).code() is EXHAUSTED

    for call in gone:
        call.cancel()
    time.sleep(0.2)
    started = time.monotonic()
    stubs.Predict(quick, timeout=10)

    assert first.code() is grpc.StatusCode.OK
    assert time.monotonic() - started < 3


def test_the_requests_to_a_port_are_bounded(base, serve, connect, predict_request):
    server = serve(base, max_concurrent_requests=2, rest_api_port=-1)
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 0.5}, signature="sleep")

    calls = [stubs.Predict.future(slow, timeout=10) for _ in range(4)]
    assert codes(calls).count(EXHAUSTED) == 2

    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
    body = {"signature_name": "sleep", "inputs": 0.5}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: requests.post(url, json=body, timeout=10), range(4))
        )
    assert sorted(a.status_code for a in answers) == [200, 200, 429, 429]


def test_messages_are_bounded(base, serve, connect, predict_request):
    stubs = connect(serve(base, max_message_bytes=1000).target).predictions

    stubs.Predict(predict_request({"x": [1.0]}), timeout=10)
    call = stubs.Predict.future(predict_request({"x": [1.5] * 1000}), timeout=10)
    assert call.code() is EXHAUSTED


def test_messages_have_no_other_bound(base, serve, connect, predict_request):
    server = serve(base, rest_api_port=-1)
    request = predict_request({"x": [1.0] * 2**21})

    connect(server.target).predictions.Predict(request, timeout=20)
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
    assert requests.post(url, json={"inputs": [1.0]}, timeout=10).status_code == 200


def test_a_rest_request_has_a_time_limit(base, serve):
    server = serve(base, rest_api_port=-1, rest_api_timeout_in_ms=100)
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"

    answer = requests.post(
        url, json={"signature_name": "sleep", "inputs": 60.0}, timeout=10
    )

    assert answer.status_code == 504


def batching_file(path, text):
    path.write_text(text)
    return {"enable_batching": True, "batching_parameters_file": str(path)}


def test_requests_of_several_callers_run_together(
    base, serve, connect, predict_request, tmp_path
):
    flags = batching_file(
        tmp_path / "batching",
        "max_batch_size { value: 8 } batch_timeout_micros { value: 30000000 }",
    )
    stubs = connect(serve(base, **flags).target).predictions

    started = time.monotonic()
    rows = [[1.0], [2.0, 3.0], [4.0] * 5]
    calls = [stubs.Predict.future(predict_request({"x": row})) for row in rows]
    answers = [list(call.result().outputs["y"].float_val) for call in calls]

    # Eight rows fill the batch, so nobody waits for the timeout.
    assert time.monotonic() - started < 10
    assert answers == [[2.5], [3.0, 3.5], [4.0] * 5]


def test_a_request_waits_for_others_until_the_timeout(
    base, serve, connect, predict_request, tmp_path
):
    flags = batching_file(
        tmp_path / "batching",
        "max_batch_size { value: 8 } batch_timeout_micros { value: 300000 }",
    )
    stubs = connect(serve(base, **flags).target).predictions

    started = time.monotonic()
    stubs.Predict(predict_request({"x": [1.0]}))
    assert time.monotonic() - started > 0.25


def test_a_bad_request_fails_nobody_else_in_its_batch(
    base, serve, connect, predict_request, tmp_path
):
    flags = batching_file(
        tmp_path / "batching",
        "max_batch_size { value: 4 } batch_timeout_micros { value: 1000000 }",
    )
    stubs = connect(serve(base, **flags).target).predictions

    calls = [
        stubs.Predict.future(predict_request({"x": [x]}, signature="fail"))
        for x in (1.0, 2.0, 11.0, 3.0)
    ]

    assert codes(calls) == [
        grpc.StatusCode.OK,
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OK,
    ]
    assert list(calls[3].result().outputs["y"].float_val) == [3.0]


def test_the_queue_of_batches_is_bounded(
    base, serve, connect, predict_request, tmp_path
):
    flags = batching_file(
        tmp_path / "batching",
        "max_batch_size { value: 1 } max_enqueued_batches { value: 2 }"
        " batch_timeout_micros { value: 0 } num_batch_threads { value: 1 }",
    )
    # So wide that it is the queue of batches that fills, and nothing before it.
    server = serve(
        base, max_running_per_model=250, max_concurrent_requests=300, **flags
    )
    stubs = connect(server.target).predictions
    wait = predict_request({"x": [1.0] * 2})
    code = stubs.Predict.future(wait, timeout=10).code()
    assert code is grpc.StatusCode.INVALID_ARGUMENT

    requests_ = [predict_request({"x": [float(x)]}) for x in range(200)]
    calls = [stubs.Predict.future(r, timeout=10) for r in requests_]

    assert set(codes(calls)) == {grpc.StatusCode.OK, EXHAUSTED}
    refused = [call for call in calls if call.code() is EXHAUSTED]
    assert all("batch scheduling queue" in call.details() for call in refused)


def test_batches_are_padded_to_an_allowed_size(
    base, serve, connect, predict_request, tmp_path
):
    flags = batching_file(
        tmp_path / "batching",
        "max_batch_size { value: 4 } allowed_batch_sizes: 4",
    )
    stubs = connect(serve(base, **flags).target).predictions

    response = stubs.Predict(predict_request({"x": [1.0, 2.0, 3.0]}), timeout=10)

    assert list(response.outputs["y"].float_val) == [2.5, 3.0, 3.5]


def codes_until_ok(stubs, request):
    deadline, found = time.monotonic() + 20, set()
    while time.monotonic() < deadline:
        code = stubs.Predict.future(request, timeout=10).code()
        if code is grpc.StatusCode.OK:
            return found
        found.add(code)
        time.sleep(0.05)
    raise AssertionError(f"still {found}")


def test_a_crash_leaves_the_other_models(
    models, publish, tmp_path, entry, write_config, connect, predict_request, eventually
):
    publish(models.crasher, tmp_path / "crasher", 1)
    publish(models.half_plus_two, tmp_path / "m", 1)
    entries = [entry(tmp_path, name) for name in ("crasher", "m")]
    config = write_config(tmp_path / "models.config", *entries)
    with ModelServer(
        model_config_file=str(config), port=-1, isolate_models=True
    ) as server:
        stubs = connect(server.target).predictions
        good = predict_request({"x": [1.0]})
        fine = predict_request({"x": [1.0]}, model="crasher")
        crash = predict_request({"x": [1.0]}, model="crasher", signature="crash")
        stubs.Predict(fine, timeout=10)

        call = stubs.Predict.future(crash, timeout=10)

        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert "SIGABRT" in call.details()
        # The second crash has a pause, in which a client is told to try again.
        eventually(
            lambda: stubs.Predict.future(fine, timeout=10).code() is grpc.StatusCode.OK
        )
        stubs.Predict.future(crash, timeout=10).code()
        call = stubs.Predict.future(fine, timeout=10)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert "crash" in call.details() or "ended" in call.details()
        assert codes_until_ok(stubs, fine) <= {grpc.StatusCode.UNAVAILABLE}
        assert list(stubs.Predict(good).outputs["y"].float_val) == [2.5]
        # It is back by itself.
        eventually(
            lambda: stubs.Predict.future(fine, timeout=10).code() is grpc.StatusCode.OK
        )


def test_a_hanging_model_leaves_the_others(
    base, serve, connect, predict_request, eventually
):
    server = serve(
        base, isolate_models=True, max_running_per_model=2, max_waiting_per_model=0
    )
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 0.4}, signature="sleep")
    calls = [stubs.Predict.future(slow, timeout=0.1) for _ in range(2)]
    assert codes(calls) == [DEADLINE] * 2
    # Both processes' ends come free when the run is cancelled.
    quick = predict_request({"x": [1.0]})
    ask = stubs.Predict.future
    eventually(lambda: ask(quick, timeout=5).code() is not EXHAUSTED)
    response = stubs.Predict(quick, timeout=5)
    assert list(response.outputs["y"].float_val) == [2.5]


def test_an_isolated_model_answers_as_one_in_the_server(
    base, serve, connect, predict_request
):
    server = serve(base, isolate_models=True, rest_api_port=-1)
    stubs = connect(server.target).predictions
    response = stubs.Predict(predict_request({"x": [1.0]}))
    assert list(response.outputs["y"].float_val) == [2.5]
    call = stubs.Predict.future(predict_request({"x": [11.0]}, signature="fail"))
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "too large" in call.details()
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m/metadata"
    assert "serving_default" in requests.get(url, timeout=10).text


def test_an_isolated_model_that_does_not_load(models, publish, tmp_path, serve):
    publish(models.half_plus_two, tmp_path, 1, truncated=True)

    with pytest.raises(ServingError, match="Can't parse") as caught:
        serve(tmp_path, isolate_models=True)
    assert caught.value.code is grpc.StatusCode.DATA_LOSS


def test_metrics(base, serve, connect, predict_request, tmp_path):
    config = tmp_path / "monitoring"
    config.write_text("prometheus_config { enable: true }")
    server = serve(base, rest_api_port=-1, monitoring_config_file=str(config))
    stubs = connect(server.target).predictions
    stubs.Predict(predict_request({"x": [1.0]}))
    stubs.Predict.future(predict_request({"x": [1.0]}, signature="s")).code()
    stubs.Predict.future(predict_request({"x": [1.0]}, model="unknown")).code()
    url = f"http://127.0.0.1:{server.rest_port}"
    requests.post(f"{url}/v1/models/m:predict", json={"inputs": [1.0]}, timeout=10)
    # What no version runs is counted too, if there is the model.
    stubs.Predict.future(predict_request({"x": [1.0]}, version=9)).code()
    for body in ("{", '{"instances": 1, "inputs": 1}'):
        for method in ("predict", "regress"):
            requests.post(f"{url}/v1/models/m:{method}", data=body, timeout=10)
    requests.post(f"{url}/v1/models/unknown:predict", data="{", timeout=10)

    page = requests.get(f"{url}/monitoring/prometheus/metrics", timeout=10).text

    count = ":tensorflow:serving:request_count"
    assert f"# TYPE {count} counter" in page
    assert f'{count}{{model_name="m",status="OK"}} 2.0' in page
    assert f'{count}{{model_name="m",status="FAILED_PRECONDITION"}} 1.0' in page
    assert f'{count}{{model_name="m",status="NOT_FOUND"}} 1.0' in page
    assert f'{count}{{model_name="m",status="INVALID_ARGUMENT"}} 4.0' in page
    latency = ":tensorflow:serving:request_latency_count"
    for entrypoint in ("GRPC", "REST"):
        labels = f'API="Predict",entrypoint="{entrypoint}",model_name="m"'
        assert f"{latency}{{{labels}}} 1.0" in page
    assert ":tensorflow:serving:runtime_latency_bucket" in page
    assert "unknown" not in page


def test_metrics_of_rest_have_its_json(base, serve, tmp_path, monkeypatch):
    config = tmp_path / "monitoring"
    config.write_text("prometheus_config { enable: true }")
    server = serve(base, rest_api_port=-1, monitoring_config_file=str(config))
    url = f"http://127.0.0.1:{server.rest_port}"
    parse, write = rest_json.parse_json, rest_json.predict_response_json

    def parse_slowly(body):
        time.sleep(0.1)
        return parse(body)

    def write_slowly(response, by_row):
        time.sleep(0.2)
        return write(response, by_row)

    def refuse(response, by_row):
        raise invalid("JSON has no such number")

    def ask():
        answer = requests.post(
            f"{url}/v1/models/m:predict", json={"inputs": [1.0]}, timeout=10
        )
        return answer.status_code

    monkeypatch.setattr(rest_json, "parse_json", parse_slowly)
    monkeypatch.setattr(rest_json, "predict_response_json", write_slowly)
    assert ask() == 200
    monkeypatch.setattr(rest_json, "predict_response_json", refuse)
    assert ask() == 400

    page = requests.get(f"{url}/monitoring/prometheus/metrics", timeout=10).text
    count = ":tensorflow:serving:request_count"
    assert f'{count}{{model_name="m",status="OK"}} 1.0' in page
    assert f'{count}{{model_name="m",status="INVALID_ARGUMENT"}} 1.0' in page
    (microseconds,) = re.findall(r"request_latency_sum\{.*\} (.*)", page)
    assert float(microseconds) >= 300_000


def test_metrics_elsewhere_and_not_at_all(base, serve, tmp_path):
    config = tmp_path / "monitoring"
    config.write_text('prometheus_config { enable: true path: "/figures" }')
    server = serve(base, rest_api_port=-1, monitoring_config_file=str(config))
    url = f"http://127.0.0.1:{server.rest_port}"
    assert requests.get(f"{url}/figures", timeout=10).status_code == 200
    assert (
        requests.get(f"{url}/monitoring/prometheus/metrics", timeout=10).status_code
        == 404
    )

    config.write_text("prometheus_config { enable: maybe }")
    with pytest.raises(ServingError, match="Invalid protobuf file"):
        serve(base, rest_api_port=-1, monitoring_config_file=str(config))


@pytest.mark.parametrize("enabled", [True, False])
def test_health(base, serve, enabled):
    server = serve(base, enable_grpc_healthcheck_service=enabled)
    with grpc.insecure_channel(server.target) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        if enabled:
            assert check(health_pb2.HealthCheckRequest(), timeout=10).status == 1
            call = check.future(health_pb2.HealthCheckRequest(service="x"), timeout=10)
            assert call.code() is grpc.StatusCode.NOT_FOUND
        else:
            call = check.future(health_pb2.HealthCheckRequest(), timeout=10)
            assert call.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_unix_socket(base, serve, connect, predict_request, tmp_path):
    path = tmp_path / "socket"
    serve(base, grpc_socket_path=str(path))

    stubs = connect(f"unix:{path}").predictions

    stubs.Predict(predict_request({"x": [1.0]}), timeout=10)


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(base, serve, predict_request, tmp_path, issue, write_ssl_config, mutual):
    authority, stranger = issue("authority"), issue("stranger")
    own, client = (issue(name, issuer=authority) for name in ("server", "client"))
    config = write_ssl_config(own, authority, verify=mutual)
    server = serve(base, ssl_config_file=str(config), rest_api_port=-1)
    request = predict_request({"x": [1.0]})

    def code(credentials):
        channel = (
            grpc.secure_channel(server.target, credentials)
            if credentials
            else grpc.insecure_channel(server.target)
        )
        with channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            return stub.Predict.future(request, timeout=5).code()

    def status(**arguments):
        url = f"https://127.0.0.1:{server.rest_port}/v1/models/m"
        try:
            return requests.get(url, timeout=5, **arguments).status_code
        except requests.exceptions.ConnectionError:
            return 0

    files = {}
    for name, content in (
        ("root", authority.certificate),
        ("client", client.key + client.certificate),
        ("stranger", stranger.key + stranger.certificate),
    ):
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_bytes(content)

    credentials, root = grpc.ssl_channel_credentials, authority.certificate
    known = credentials(root, client.key, client.certificate)
    unknown = credentials(root, stranger.key, stranger.certificate)
    assert code(known) is grpc.StatusCode.OK
    assert status(verify=files["root"], cert=str(files["client"])) == 200
    # Plain text, and a client that doesn't know the authority.
    assert code(None) is grpc.StatusCode.UNAVAILABLE
    assert code(credentials(stranger.certificate)) is grpc.StatusCode.UNAVAILABLE
    assert status(verify=files["stranger"]) == 0
    # A client without a certificate, or with one of nobody's.
    expected = grpc.StatusCode.UNAVAILABLE if mutual else grpc.StatusCode.OK
    assert code(credentials(root)) is expected
    assert code(unknown) is expected
    assert status(verify=files["root"]) == (0 if mutual else 200)
    assert status(verify=files["root"], cert=str(files["stranger"])) == (
        0 if mutual else 200
    )


def test_a_body_that_waits_to_be_asked_for(base, serve):
    server = serve(base, rest_api_port=-1)
    body = b'{"inputs": [1.0]}'
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=5) as client:
        client.sendall(
            b"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        answer = b"".join(iter(lambda: client.recv(1000), b""))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"2.5" in answer


def test_connections_that_stay_do_not_keep_a_drain(base, serve):
    server = serve(base, rest_api_port=-1)
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
    stopping, failures = threading.Event(), []

    def ask():
        body = {"signature_name": "sleep", "inputs": 0.05}
        with requests.Session() as session:
            while True:
                try:
                    status = session.post(url, json=body, timeout=10).status_code
                except requests.exceptions.ConnectionError:
                    # Closed after an answer, refused from then on: never within one.
                    if not stopping.is_set():
                        failures.append("closed too early")
                    return
                if status != 200:
                    failures.append(status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    stopping.set()
    server.stop(20)

    assert time.monotonic() - started < 5
    for thread in threads:
        thread.join()
    assert failures == []


def test_rest_drains(base, serve):
    server = serve(base, rest_api_port=-1)
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
    answers = []

    def ask():
        body = {"signature_name": "sleep", "inputs": 0.5}
        answers.append(requests.post(url, json=body, timeout=10).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.2)
    server.stop(10)
    thread.join()

    assert answers == [200]
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.post(url, json={}, timeout=10)

"""The gRPC port, and the REST port where both have the same bounds and keys."""

import concurrent.futures
import time

import grpc
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

pytestmark = pytest.mark.e2e

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("isolate_models", [True, False])
def test_a_deadline_in_weeks(base, serve, connect, predict_request, isolate_models):
    stubs = connect(serve(base, isolate_models=isolate_models).target).predictions
    four_weeks = 28 * 24 * 3600.0

    answer = stubs.Predict(predict_request({"x": [1.0]}), timeout=four_weeks)

    assert list(answer.outputs["y"].float_val) == [2.5]


def test_the_requests_to_a_port_are_bounded(base, serve, connect, predict_request):
    server = serve(base, max_concurrent_requests=2, rest_api_port=-1)
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 0.5}, signature="sleep")

    calls = [stubs.Predict.future(slow, timeout=10) for _ in range(4)]
    assert [call.code() for call in calls].count(EXHAUSTED) == 2

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


def test_who_watches_its_health_does_not_keep_a_server(base, serve):
    server = serve(base, enable_grpc_healthcheck_service=True)
    with grpc.insecure_channel(server.target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest()
        )
        told = [next(watch).status]
        started = time.monotonic()
        server.stop(grace=20)
        assert time.monotonic() - started < 10
        told += [one.status for one in watch]
    status = health_pb2.HealthCheckResponse
    assert told == [status.SERVING, status.NOT_SERVING]


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

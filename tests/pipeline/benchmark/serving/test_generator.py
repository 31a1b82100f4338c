"""Requests on the wire, and what isn't an answer."""

import concurrent.futures
import http.server
import socket
import threading

import grpc
import pytest

from pipeline.benchmark.serving.generator import Job, send_load


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        text = b"too busy" if body == b"bad" else b"{}"
        self.send_response(503 if body == b"bad" else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def rest():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.bodies = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    return f"127.0.0.1:{port}"


def test_rest_statuses_other_than_200_are_errors(rest):
    url = f"http://127.0.0.1:{rest.server_port}/v1/models/m:predict"
    job = Job("rest", url, [b"good", b"bad"], 1, times=[0.0, 0.01, 0.02, 0.03, 0.04])
    found = send_load(job)
    assert (len(found.latencies), found.errors) == (3, 2)
    assert found.first_error.endswith("status 503: too busy")
    # One more opens the connection.
    assert sorted(rest.bodies) == [b"bad"] * 2 + [b"good"] * 4


def test_grpc_sends_the_bytes_as_they_are():
    bodies = []

    def predict(request, context):
        bodies.append(request)
        if request == b"bad":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too busy")
        return b"answer"

    handler = grpc.method_handlers_generic_handler(
        "tensorflow.serving.PredictionService",
        {"Predict": grpc.unary_unary_rpc_method_handler(predict)},
    )
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(2),
        handlers=[handler],
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        times = [0.0, 0.01, 0.02]
        job = Job("grpc", f"127.0.0.1:{port}", [b"good", b"bad"], 1, times=times)
        found = send_load(job)
    finally:
        server.stop(None)
    assert (len(found.latencies), found.errors) == (2, 1)
    assert "too busy" in found.first_error
    assert sorted(bodies) == [b"bad"] + [b"good"] * 3


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_without_a_server_all_requests_are_errors(closed_port, protocol):
    target = closed_port if protocol == "grpc" else f"http://{closed_port}/"
    found = send_load(Job(protocol, target, [b"x"], 2, times=[0.0, 0.01, 0.02]))
    assert found.latencies == []
    assert found.errors == 3
    assert found.first_error

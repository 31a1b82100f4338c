"""The HTTP port: bodies that wait, and the end of the server."""

import gzip
import logging
import socket
import struct
import threading
import time
import zlib

import pytest
import requests

from serving.embedded import http_server

pytestmark = pytest.mark.e2e


def test_rest_answers_on_ipv6_as_on_ipv4(ipv6, base, serve):
    server = serve(base, rest_api_port=-1)

    for host in ("127.0.0.1", "[::1]"):
        url = f"http://{host}:{server.rest_port}/v1/models/m:predict"
        assert requests.post(url, json={"inputs": [1.0]}, timeout=10).ok


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


def head(length, *headers, path="/v1/models/m:predict", version="1.1"):
    lines = [f"POST {path} HTTP/{version}", "Host: m", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def test_a_client_of_http_1_0_is_not_told_to_continue(base, serve):
    port = serve(base, rest_api_port=-1).rest_port
    body = b'{"inputs": [1.0]}'
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(head(len(body), "Expect: 100-continue", version="1.0") + body)
        answer = b"".join(iter(lambda: client.recv(1000), b""))

    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")


@pytest.fixture
def connections(monkeypatch):
    """The connections that REST has."""
    found = set()
    for name, change in (("made", found.add), ("lost", found.discard)):
        method = f"connection_{name}"
        original = getattr(http_server._Protocol, method)

        def changed(self, transport, original=original, change=change):
            original(self, transport)
            change(self)

        monkeypatch.setattr(http_server._Protocol, method, changed)
    return found


def test_a_client_that_sends_no_more_gets_its_answer(
    base, serve, connections, eventually
):
    port = serve(base, rest_api_port=-1).rest_port
    body = b'{"signature_name": "sleep", "inputs": 0.2}'
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(head(len(body)) + body)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(1000), b""))
        eventually(lambda: not connections)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"outputs" in answer


def test_a_client_that_goes_as_it_waits_is_freed_with_its_answer(
    base, serve, connections, eventually, caplog
):
    port = serve(base, rest_api_port=-1).rest_port
    body = b'{"signature_name": "sleep", "inputs": 0.2}'
    caplog.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(head(len(body)) + body)
        eventually(lambda: connections)
    eventually(lambda: not connections, timeout=1)

    assert caplog.messages == []


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("start", [b"", b"POST /v1", head(100) + b"abc"])
def test_a_client_that_sends_no_more_is_freed_at_once(
    base, serve, connections, eventually, asked, start
):
    port = serve(base, rest_api_port=-1).rest_port
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        if asked:
            client.sendall(b"GET /v1/models/m HTTP/1.1\r\nHost: m\r\n\r\n")
            client.recv(1000)
        client.sendall(start)
        eventually(lambda: connections)
        client.shutdown(socket.SHUT_WR)
        eventually(lambda: not connections, timeout=1)
        assert client.recv(100) == b""


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "start",
    [
        head(100) + b"abc",
        head(100, "Expect: 100-continue"),
        head(100, path="/other") + b"abc",
        head(100).replace(b"Content-Length: 100", b"Transfer-Encoding: chunked")
        + b"5\r\nabc",
        b"POST /v1",
    ],
)
def test_a_client_that_goes_within_its_request_is_not_logged(
    base, serve, connections, eventually, caplog, start, reset
):
    port = serve(base, rest_api_port=-1).rest_port
    caplog.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(start)
        eventually(lambda: connections)
        time.sleep(0.05)
        if reset:
            client.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
    eventually(lambda: not connections)
    time.sleep(0.05)

    assert caplog.messages == []


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/models/m:predict", 400), ("/other", 404)]
)
def test_a_body_of_wrong_gzip_is_not_logged(
    base, serve, connections, eventually, caplog, path, status
):
    port = serve(base, rest_api_port=-1).rest_port
    body = b"no" + gzip.compress(b'{"inputs": [1.0]}')
    caplog.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(head(len(body), "Content-Encoding: gzip", path=path) + body)
        assert client.recv(100).startswith(b"HTTP/1.1 %d" % status)
    eventually(lambda: not connections)
    time.sleep(0.05)

    assert caplog.messages == []


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_without_its_end_is_refused(base, serve, encoding, together):
    port = serve(base, rest_api_port=-1).rest_port
    whole = b'{"inputs": [1.0]}'
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    body = compress(whole)[:-4]
    start = head(len(body), f"Content-Encoding: {encoding}")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        for part in [start + body] if together else [start, body]:
            client.sendall(part)
            time.sleep(0.05)
        answer = b"".join(iter(lambda: client.recv(1000), b""))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"the body can't be read: it is no whole %s" % encoding.encode() in answer


def test_a_defect_is_logged(base, serve, monkeypatch, caplog):
    def fail(*_):
        raise ConnectionError("a defect")

    port = serve(base, rest_api_port=-1).rest_port
    monkeypatch.setattr("serving.embedded.rest.RestApi.answer", fail)
    caplog.clear()

    answer = requests.get(f"http://127.0.0.1:{port}/v1/models/m", timeout=5)

    assert answer.status_code == 500
    (record,) = (r for r in caplog.records if r.name == "aiohttp.server")
    assert record.levelno == logging.ERROR
    assert str(record.exc_info[1]) == "a defect"


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


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (b"", b""),
        (b"POST /v1", b""),
        (head(100)[:-2], b""),
        # Answered before its body has come.
        (head(3, path="/other"), b"abc"),
    ],
)
def test_a_drain_closes_what_waits_for_no_answer(base, serve, asked, start, rest):
    server = serve(base, rest_api_port=-1)
    address = ("127.0.0.1", server.rest_port)
    body = b'{"inputs": [1.0]}'
    with (
        socket.create_connection(address, timeout=5) as busy,
        socket.create_connection(address, timeout=5) as idle,
    ):
        busy.sendall(head(len(body)))
        if asked:
            idle.sendall(head(len(body)) + body)
            assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        idle.sendall(start)
        time.sleep(0.2)
        stopping = threading.Thread(target=server.stop, args=(20,))
        stopping.start()
        try:
            time.sleep(0.2)
            idle.sendall(rest)
            # Open, it would invite a request that has no answer.
            idle.settimeout(1)
            end = idle.makefile("rb").read()
            assert end.startswith(b"HTTP/1.1 404") if rest else end == b""
            assert stopping.is_alive()
        finally:
            busy.sendall(body)
            answer = busy.makefile("rb").read()
            stopping.join()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"2.5" in answer


def test_a_body_that_is_on_its_way_is_taken_while_the_server_drains(base, serve):
    server = serve(base, rest_api_port=-1)
    body = b'{"signature_name": "sleep", "inputs": 0.05}'
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=8) as client:
        # Many clients send the two by themselves.
        client.sendall(head(len(body)))
        time.sleep(0.2)
        started = time.monotonic()
        stopping = threading.Thread(target=server.stop, args=(20,))
        stopping.start()
        time.sleep(0.2)
        client.sendall(body)
        answer = client.makefile("rb").read()
    stopping.join()
    assert answer.startswith(b"HTTP/1.1 200")
    assert time.monotonic() - started < 5


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

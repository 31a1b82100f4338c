"""The HTTP port: bodies that wait, and the end of the server."""

import socket
import threading
import time

import pytest
import requests

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

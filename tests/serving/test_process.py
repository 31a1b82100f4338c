"""The server as a real process: readiness, signals and failures."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import psutil
import pytest
import requests
import tensorflow as tf

from serving.errors import ServingError
from serving.process import ServerProcess

pytestmark = pytest.mark.e2e


class Hasty(ServerProcess):
    """Gives requests in flight half a second when it is to stop, and 8 s to end."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        module = self._command.index("-m")
        self._command[module : module + 2] = [
            "-c",
            "from serving import cli; from serving.embedded import server;"
            " server.GRACE = 0.5; server.LEEWAY = 8.0; cli.serve()",
        ]


class Grouped(ServerProcess):
    """Has a process group of its own."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self._command = ["setsid", *self._command]

    @property
    def group(self):
        """Id of the group, which is that of the server itself."""
        return self._process.pid


def ask_in_vain(url):
    with contextlib.suppress(requests.RequestException):
        requests.post(
            url, json={"signature_name": "sleep", "inputs": 600.0}, timeout=60
        )


@pytest.fixture
def base(models, publish, tmp_path):
    publish(models.half_plus_two, tmp_path, 1)
    return tmp_path


@pytest.fixture
def most_files():
    """Lowers how many files a process may open, but not how many it may ask for."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(few, 1000), most))
    yield most
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))


@pytest.mark.parametrize(
    ("number", "isolate"), [(signal.SIGTERM, "true"), (signal.SIGINT, "false")]
)
def test_it_serves_until_a_signal_and_drains(
    base, connect, predict_request, number, isolate, most_files
):
    flags = [f"--isolate_models={isolate}", "--rest_api_port=-1"]
    with ServerProcess(model_name="m", model_base_path=base, arguments=flags) as server:
        assert server.version == 1
        files = resource.prlimit(server._process.pid, resource.RLIMIT_NOFILE)
        assert files == (most_files, most_files)
        url = f"http://{server.rest_target}/v1/models/m:predict"
        answer = requests.post(url, json={"inputs": [1.0]}, timeout=10)
        assert answer.json()["outputs"]["y"] == [2.5]
        stubs = connect(server.target)
        quick = predict_request({"x": [1.0]})
        response = stubs.predictions.Predict(quick, timeout=10)
        assert response.outputs["y"].float_val[0] == 2.5
        slow = predict_request({"seconds": 1.0}, signature="sleep")
        calls = [stubs.predictions.Predict.future(slow, timeout=20) for _ in range(4)]
        time.sleep(0.3)

        server.send_signal(number)
        started = time.monotonic()

        assert [call.result().model_spec.version.value for call in calls] == [1] * 4
        assert server.wait(20) == 0
        assert time.monotonic() - started < 15
        with pytest.raises(grpc.RpcError) as caught:
            stubs.predictions.Predict(quick, timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        log = server.stderr()
        assert "Traceback" not in log
        # TensorFlow's notices of its start; what is an error to it may be told.
        assert not re.search(r"^(WARNING:|I0000) ", log, re.MULTILINE)


def test_it_is_for_this_machine_alone(base):
    flags = ["--rest_api_port=-1", "--isolate_models=false"]
    with ServerProcess(model_name="m", model_base_path=base, arguments=flags) as server:
        for target in (server.target, server.rest_target):
            port = int(target.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port), timeout=5)


def is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_signal_to_all_processes_drains(base, connect, predict_request, eventually):
    # As systemd sends it, and `kill -- -GROUP`: to those of models, too.
    server = Grouped(model_name="m", model_base_path=base)
    with server:
        stubs = connect(server.target)
        slow = predict_request({"seconds": 1.5}, signature="sleep")
        calls = [stubs.predictions.Predict.future(slow, timeout=20) for _ in range(4)]
        time.sleep(0.3)

        os.killpg(server.group, signal.SIGTERM)

        assert [call.result().model_spec.version.value for call in calls] == [1] * 4
        assert server.wait(20) == 0
        # Nobody is left behind.
        eventually(lambda: is_gone(server.group))
        assert "Traceback" not in server.stderr()
        assert "crash" not in server.stderr()


def test_it_does_not_outlive_who_started_it(base):
    start = (
        "import sys, time; from serving.process import ServerProcess\n"
        "with ServerProcess(model_name='m', model_base_path=sys.argv[1]) as server:\n"
        "    print(server.target, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", start, base]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout.readline().startswith("127.0.0.1:")
        processes = psutil.Process(starter.pid).children(recursive=True)

        starter.kill()

    _, left = psutil.wait_procs(processes, timeout=30)
    for process in left:
        process.kill()
    # The server, what models are forked from, and the model.
    assert len(processes) >= 3
    assert left == []


def test_a_model_that_does_not_load_ends_it(models, publish, tmp_path):
    publish(models.half_plus_two, tmp_path, 1, truncated=True)
    server = ServerProcess(
        model_name="m", model_base_path=tmp_path, arguments=["--isolate_models=false"]
    )

    with pytest.raises(ServingError, match="exit code 1") as caught:
        server.start()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert "version 1 of model m did not load: Can't parse" in caught.value.message
    assert "Traceback" not in caught.value.message


def test_it_says_what_it_waits_for_and_can_be_stopped(tmp_path):
    server = ServerProcess(
        model_name="m", model_base_path=tmp_path / "none", startup_timeout=60
    )
    failures: list[ServingError] = []

    def start():
        try:
            server.start()
        except ServingError as error:
            failures.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    deadline = time.monotonic() + 50
    while "waiting for model m" not in server.stderr():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.send_signal(signal.SIGTERM)
    thread.join(20)

    assert "ended with exit code 0" in failures[0].message
    assert f"base path {tmp_path / 'none'} is no directory" in failures[0].message


def test_a_deadline_ends_the_wait(tmp_path):
    server = ServerProcess(
        model_name="m", model_base_path=tmp_path, startup_timeout=0.5
    )

    with pytest.raises(ServingError, match=r"did not serve within 0\.5 s") as caught:
        server.start()
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.wait(0) != 0


def test_a_port_in_use_is_one_clear_line(base):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        server = ServerProcess(
            model_name="m",
            model_base_path=base,
            arguments=[f"--port={port}", "--isolate_models=false"],
        )
        with pytest.raises(ServingError, match="exit code 2") as caught:
            server.start()
    assert f"Error: can't open port {port}: Address already in use" in (
        caught.value.message
    )
    assert "Traceback" not in caught.value.message


@pytest.mark.parametrize("isolate", ["true", "false"])
def test_requests_that_hang_do_not_keep_it(base, connect, predict_request, isolate):
    flags = [
        f"--isolate_models={isolate}",
        "--rest_api_port=-1",
        "--rest_api_timeout_in_ms=0",
    ]
    server = Hasty(model_name="m", model_base_path=base, arguments=flags)
    server.start()
    try:
        stubs = connect(server.target).predictions
        url = f"http://{server.rest_target}/v1/models/m:predict"
        hangs = predict_request({"seconds": 600.0}, signature="sleep")
        call = stubs.Predict.future(hangs)
        rest = threading.Thread(target=ask_in_vain, args=(url,))
        rest.start()
        time.sleep(0.5)

        server.send_signal(signal.SIGTERM)

        assert server.wait(15) == 0
        assert call.code() in (
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.UNAVAILABLE,
        )
        rest.join(5)
        assert not rest.is_alive()
        assert "Traceback" not in server.stderr()
    finally:
        server.stop(timeout=0)


def test_an_operation_that_cannot_be_cancelled_does_not_keep_it(
    connect, predict_request, tmp_path
):
    save_stubborn(str(tmp_path / "1"))
    flags = ["--isolate_models=false", "--rest_api_port=-1"]
    server = Hasty(model_name="m", model_base_path=tmp_path, arguments=flags)
    server.start()
    try:
        stubs = connect(server.target).predictions
        size = tf.make_tensor_proto(6000, tf.int64)
        call = stubs.Predict.future(predict_request({"size": size}))
        time.sleep(0.5)
        assert not call.done()

        server.send_signal(signal.SIGTERM)

        assert server.wait(30) == 1
        assert "can't be cancelled" in server.stderr()
        assert "Traceback" not in server.stderr()
    finally:
        server.stop(timeout=0)


def save_stubborn(path):
    """A model with one operation, which takes minutes and looks at no cancellation."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="size")])
    def decompose(size):
        matrix = tf.random.normal([size, size])
        return {"values": tf.linalg.svd(matrix, compute_uv=False)}

    module = tf.Module()
    module.decompose = decompose
    tf.saved_model.save(module, path, signatures=decompose)

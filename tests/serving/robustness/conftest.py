"""Servers in processes of their own, models that tell their version, requests."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import get_model_status_pb2

from serving.process import ServerProcess
from serving.status import State


class Line(tf.Module):
    """y = 2 x + version: an answer tells who gave it, and to what."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = tf.Variable(float(version))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def line(self, x):
        return {"y": 2.0 * x + self.version}


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """SavedModels whose answers tell their version, by version."""
    root = tmp_path_factory.mktemp("lines")
    for version in (1, 2, 3, 4):
        model = Line(version)
        tf.saved_model.save(model, str(root / str(version)), signatures=model.line)
    return {int(path.name): path for path in root.iterdir()}


@pytest.fixture
def launch() -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers in processes of their own, with flags by name."""
    servers = []

    def start(base: Path | str = "", **flags: Any) -> ServerProcess:
        flags = {"file_system_poll_wait_seconds": 0.1} | flags
        server = ServerProcess(
            model_name="m",
            model_base_path=base,
            arguments=[f"--{name}={value}" for name, value in flags.items()],
        )
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop(timeout=20)


def family(server: ServerProcess) -> list[psutil.Process]:
    """Returns the processes of a server: itself, and those that run its models."""
    own = psutil.Process(server._process.pid)
    return [own, *own.children(recursive=True)]


@pytest.fixture(scope="session", name="family")
def family_fixture() -> Callable[[ServerProcess], list[psutil.Process]]:
    return family


@pytest.fixture(scope="session")
def memory() -> Callable[[ServerProcess], int]:
    """Bytes that a server and its processes have written; shared ones count once.

    Libraries and other files don't count: their share of them changes with whoever
    else on the machine has TensorFlow loaded.
    """

    def written(pid: int) -> int:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        match = re.search(r"^Pss_Anon: +(\d+) kB$", rollup, re.MULTILINE)
        assert match
        return 1024 * int(match[1])

    def measure(server: ServerProcess) -> int:
        return sum(written(process.pid) for process in family(server))

    return measure


@pytest.fixture(scope="session")
def state() -> Callable[..., dict[int, State]]:
    """Asks for the state of each version of a model; none if there is no model."""

    def ask(stubs: Any, model: str = "m") -> dict[int, State]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        call = stubs.models.GetModelStatus.future(request, timeout=20)
        if call.code() is grpc.StatusCode.NOT_FOUND:
            return {}
        versions = call.result().model_version_status
        return {entry.version: State(entry.state) for entry in versions}

    return ask


@pytest.fixture(scope="session")
def ask_all(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Draws cases and asks with each: the same in every run.

    `--hypothesis-seed=random`, or any other, draws others.
    """

    def run(
        cases: st.SearchStrategy[Any], ask: Callable[[Any], None], number: int
    ) -> None:
        chosen = settings(
            max_examples=number,
            database=None,
            deadline=None,
            derandomize=pytestconfig.getoption("--hypothesis-seed") is None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        chosen(given(cases)(ask))()

    return run


class RawCaller:
    """Sends bytes over a connection that is kept while the server keeps it."""

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._address = host, int(port)
        self._connection: socket.socket | None = None

    def ask(self, content: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Returns status, headers and body of the answer."""
        if self._connection is None:
            self._connection = socket.create_connection(self._address, timeout=20)
        self._connection.sendall(content)
        response = http.client.HTTPResponse(self._connection)
        response.begin()
        body = response.read()
        if response.will_close:
            self.close()
        return response.status, response.headers, body

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@pytest.fixture
def call_raw() -> Iterator[Callable[[str], RawCaller]]:
    """Gives callers of a REST target, `host:port`, that send whatever bytes."""
    callers = []

    def make(target: str) -> RawCaller:
        callers.append(RawCaller(target))
        return callers[-1]

    yield make
    for caller in callers:
        caller.close()

"""Servers of both backends as real processes, spoken to by ports, flags and files."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

BINARY = "tensorflow_model_server"
START_TIMEOUT = 60.0
AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE


class Server:
    """A server of either backend, on ports that were free.

    Args:
        backend: As in `--backend`.
        folder: Where its output goes.
        channel: Opens the channel by which its state is asked.
        flags: Its flags by name, all of them upstream's.
    """

    def __init__(
        self,
        backend: str,
        folder: Path,
        channel: Callable[[str], grpc.Channel] = grpc.insecure_channel,
        **flags: object,
    ) -> None:
        self.backend = backend
        self.port, self.rest_port = free_ports(2)
        self.target = f"127.0.0.1:{self.port}"
        self._channel = channel
        self._files = folder / "stdout", folder / "stderr"
        self._session = requests.Session()
        self._session.trust_env = False
        flags = {"port": self.port, "rest_api_port": self.rest_port} | flags
        with self._files[0].open("w") as stdout, self._files[1].open("w") as stderr:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "serving",
                    f"--backend={backend}",
                    *(f"--{name}={value}" for name, value in flags.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )

    def wait_until_ready(self, **versions: set[int]) -> None:
        """Waits until these versions are available, by name of the model."""
        deadline = time.monotonic() + START_TIMEOUT
        while not (self.is_open(self.port) and self.is_open(self.rest_port)):
            assert self.process.poll() is None, f"it ended:\n{self.output()}"
            assert time.monotonic() < deadline, f"no port is open:\n{self.output()}"
            time.sleep(0.05)
        with self._channel(self.target) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            for model, expected in versions.items():
                while not expected <= available(stub, model):
                    assert time.monotonic() < deadline, (
                        f"{model} does not serve {expected}:\n{self.output()}"
                    )
                    time.sleep(0.05)

    def is_open(self, port: int) -> bool:
        """Whether a port takes connections."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    def output(self) -> str:
        """What it has written to stdout and stderr."""
        return "\n".join(file.read_text(errors="replace") for file in self._files)

    def rest(
        self, path: str, body: object = None, method: str = "", **arguments: Any
    ) -> requests.Response:
        """Sends a request, by default a GET or, with a body, a POST."""
        url = f"http://127.0.0.1:{self.rest_port}{path}"
        method = method or ("GET" if body is None else "POST")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self._session.request(method, url, data=body, timeout=20, **arguments)

    def stop(self) -> None:
        """Ends the process."""
        self._session.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def available(stub: model_service_pb2_grpc.ModelServiceStub, model: str) -> set[int]:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    response = stub.GetModelStatus(request, timeout=20, wait_for_ready=True)
    statuses = response.model_version_status
    return {status.version for status in statuses if status.state == AVAILABLE}


class Failures(tf.Module):
    """Signatures whose runs end with a code that the request chooses."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="path")])
    def read(self, path):
        return {"content": tf.io.read_file(path)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="content")])
    def unzip(self, content):
        return {"content": tf.io.decode_compressed(content, "ZLIB")}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="path")])
    def write(self, path):
        with tf.control_dependencies([tf.io.write_file(path, "x")]):
            return {"written": tf.identity(path)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def take_from_empty(self, x):
        return {"y": next(iter(tf.data.Dataset.from_tensors(x).skip(1)))}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def add_to_closed(self, x):
        queue = tf.raw_ops.FIFOQueueV2(component_types=[tf.float32], shapes=[[]])
        with tf.control_dependencies([x]):
            tf.raw_ops.QueueCloseV2(handle=queue)
        tf.raw_ops.QueueEnqueueV2(handle=queue, components=[x])
        return {"y": x + 1}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def create_twice(self, x):
        with tf.control_dependencies([x]):
            first = temporary_variable()
        with tf.control_dependencies([tf.raw_ops.IsVariableInitialized(ref=first)]):
            second = temporary_variable()
        return {"y": tf.raw_ops.DestroyTemporaryVariable(ref=second, var_name="v")}

    def save(self, path: str) -> None:
        functions = (
            self.read,
            self.unzip,
            self.write,
            self.take_from_empty,
            self.add_to_closed,
            self.create_twice,
        )
        signatures = {function.__name__: function for function in functions}
        tf.saved_model.save(self, path, signatures=signatures)


def temporary_variable() -> tf.Tensor:
    return tf.raw_ops.TemporaryVariable(shape=[], dtype=tf.float32, var_name="v")


class Counted(tf.Module):
    """y = x; a run of the signature `fail` adds a line to a file, and fails."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = f"file://{file}"

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def same(self, x):
        return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def fail(self, x):
        with tf.control_dependencies([tf.print("a run", output_stream=self._file)]):
            failure = tf.debugging.assert_less(x, x, "as always")
        with tf.control_dependencies([failure]):
            return {"y": tf.identity(x)}

    def save(self, path: str) -> None:
        signatures = {"serving_default": self.same, "fail": self.fail}
        tf.saved_model.save(self, path, signatures=signatures)


@pytest.fixture(scope="session", params=["embedded", BINARY])
def backend(request: pytest.FixtureRequest) -> str:
    """Which server runs."""
    name: str = request.param
    if name == BINARY and not shutil.which(BINARY):
        pytest.skip(
            f"{BINARY} is not on the PATH; put it there to hold it to the same tests"
        )
    return name


@pytest.fixture(scope="session")
def more_models(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Paths of SavedModels that only these tests need, by name."""
    root = tmp_path_factory.mktemp("more_models")
    Failures().save(str(root / "failures"))
    return SimpleNamespace(**{path.name: path for path in root.iterdir()})


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models of `entries` are."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def entries(
    models: SimpleNamespace,
    more_models: SimpleNamespace,
    shared_root: Path,
    entry: Callable[..., str],
    link: Callable[..., None],
) -> dict[str, str]:
    """The models of `server`, as its configuration has them, by name.

    m has all of versions 1 (x / 2 + 2, stable) and 2 (x / 2 + 3, canary), latest the
    same with the default policy, specific the versions 1 and 3 of three. rankers has
    two versions with different tables, patient waits for a version that fails.
    """
    root = shared_root
    two, three = models.half_plus_two, models.half_plus_three
    link(root / "m", {1: two, 2: three})
    link(root / "latest", {1: two, 2: three})
    link(root / "specific", {1: two, 2: three, 3: two})
    for name in ("tmp", "4x", "v5"):
        (root / "specific" / name).symlink_to(three)
    link(root / "rankers", {1: models.ranker, 2: models.other_ranker})
    link(root / "patient", {1: two})
    for name in ("types", "examples", "halves"):
        link(root / name, {1: getattr(models, name)})
    link(root / "failures", {1: more_models.failures})
    return {
        "m": entry(root, "m", "all {}", stable=1, canary=2),
        "latest": entry(root, "latest"),
        "specific": entry(root, "specific", "specific { versions: 1 versions: 3 }"),
        "rankers": entry(root, "rankers", "all {}"),
        "patient": entry(root, "patient"),
        "types": entry(root, "types"),
        "examples": entry(root, "examples", only=1),
        "halves": entry(root, "halves"),
        "failures": entry(root, "failures"),
    }


@pytest.fixture(scope="session")
def server(
    backend: str,
    entries: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    write_config: Callable[..., Path],
) -> Iterator[Server]:
    """The server of most requests, with the models of `entries`."""
    folder = tmp_path_factory.mktemp("server")
    server = Server(
        backend,
        folder,
        model_config_file=write_config(folder / "models.config", *entries.values()),
        allow_version_labels_for_unavailable_models="true",
    )
    try:
        versions = {name: {1} for name in entries}
        versions |= {"m": {1, 2}, "rankers": {1, 2}, "specific": {1, 3}}
        server.wait_until_ready(**versions | {"latest": {2}})
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def flagged(
    backend: str,
    models: SimpleNamespace,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SimpleNamespace]:
    """A server with many flags, of one model y = 10 x in batches of 4.

    Its warm-up would fail. A request of fewer than 4 rows waits 2 s for others.
    """
    folder = tmp_path_factory.mktemp("flagged")
    base = folder / "m"
    shutil.copytree(models.tagged, base / "1")
    warmup = base / "1" / "assets.extra" / "tf_serving_warmup_requests"
    warmup.parent.mkdir()
    warmup.write_bytes(b"no TFRecord")
    batching, monitoring = folder / "batching", folder / "monitoring"
    batching.write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 2000000 }"
    )
    monitoring.write_text('prometheus_config { enable: true path: "/numbers" }')
    socket_path = folder / "s"
    server = Server(
        backend,
        folder,
        model_name="tagged",
        model_base_path=base,
        saved_model_tags="serve,gpu",
        enable_model_warmup="false",
        file_system_poll_wait_seconds=0,
        enable_batching="true",
        batching_parameters_file=batching,
        monitoring_config_file=monitoring,
        grpc_socket_path=socket_path,
        enable_grpc_healthcheck_service="true",
        grpc_channel_arguments=(
            "grpc.max_metadata_size=100000,grpc.absolute_max_metadata_size=100000"
        ),
    )
    try:
        server.wait_until_ready(tagged={1})
        yield SimpleNamespace(server=server, base=base, socket=socket_path)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def polled(
    backend: str,
    models: SimpleNamespace,
    tmp_path_factory: pytest.TempPathFactory,
    entry: Callable[..., str],
    write_config: Callable[..., Path],
) -> Iterator[SimpleNamespace]:
    """A server that looks each second for versions and for another configuration.

    Failed loads are tried again once, after a second, and requests of REST may take
    0.5 s. Its models have a version 1, x / 2 + 2.
    """
    root = tmp_path_factory.mktemp("polled")
    policies = {
        "broken": "",
        "cold": "all {}",
        "partial": "",
        "steady": "",
        "swapped": "",
        "two": "latest { num_versions: 2 }",
        "warm": "",
    }
    for name in policies:
        shutil.copytree(models.half_plus_two, root / name / "1")
    entries = [entry(root, name, policy) for name, policy in policies.items()]
    config = write_config(root / "models.config", *entries)
    server = Server(
        backend,
        root,
        model_config_file=config,
        model_config_file_poll_wait_seconds=1,
        max_num_load_retries=1,
        load_retry_interval_micros=1_000_000,
        rest_api_timeout_in_ms=500,
    )
    try:
        server.wait_until_ready(**{name: {1} for name in policies})
        yield SimpleNamespace(server=server, root=root, config=config, entries=entries)
    finally:
        server.stop()


@pytest.fixture
def start(backend: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers with flags by name; who starts one waits for it."""
    servers = []

    def run(**flags: Any) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(Server(backend, folder, **flags))
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def start_for_module(
    backend: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Starts servers that the tests of a file share."""
    servers = []

    def run(**flags: Any) -> Server:
        servers.append(Server(backend, tmp_path_factory.mktemp("server"), **flags))
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


@pytest.fixture
def counted(tmp_path: Path, predict_request: Callable[..., Any]) -> SimpleNamespace:
    """A model whose loads are counted, by `loads()`, and fail in their warm-up.

    It is at `path`; `warmup` is the request that fails.
    """
    file, path = tmp_path / "loads", tmp_path / "counted"
    file.touch()
    Counted(file).save(str(path))

    def loads() -> int:
        return len(file.read_text().splitlines())

    warmup = predict_request({"x": [1.0]}, signature="fail")
    return SimpleNamespace(path=path, warmup=warmup, loads=loads)


@pytest.fixture
def stubs(server: Server, connect: Callable[..., SimpleNamespace]) -> SimpleNamespace:
    """The official stubs of `server`."""
    return connect(server.target)


@pytest.fixture
def rest_error() -> Callable[[requests.Response], tuple[int, str]]:
    """Returns the HTTP status and the message of an error of REST."""

    def read(response: requests.Response) -> tuple[int, str]:
        assert response.headers["Content-Type"].startswith("application/json")
        body = response.json()
        assert set(body) == {"error"}
        return response.status_code, body["error"]

    return read


@pytest.fixture
def push(
    publish: Callable[..., Path],
    write_warmup: Callable[..., Path],
    tmp_path: Path,
) -> Callable[..., Path]:
    """Publishes a version whole, by a rename, with records for its warm-up.

    Upstream takes any folder of an integer for a version, a part of one, too.
    """

    def move(model: Path, base: Path, version: int, *records: Any) -> Path:
        staged = publish(model, tmp_path / "staged", version)
        if records:
            write_warmup(staged, *records)
        return staged.rename(base / str(version))

    return move

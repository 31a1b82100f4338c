"""Tiny SavedModels, configurations, certificates, servers and stubs for the tests."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from serving.embedded.server import ModelServer


class Affine(tf.Module):
    """y = a x + b; other signatures fail, take their time, or take two inputs."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a = tf.Variable(a)
        self.b = tf.Variable(b)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def affine(self, x):
        y = self.a * x + self.b
        return {"y": y, "same": y, "x_int": tf.cast(x, tf.int64)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def fail_above_ten(self, x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 10.0, "too large")]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float64, name="seconds")])
    def sleep(self, seconds):
        end = tf.timestamp() + seconds
        turns = tf.while_loop(lambda _: tf.timestamp() < end, lambda i: [i + 1], [0])
        return {"turns": turns[0]}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="left"),
            tf.TensorSpec([None], tf.float32, name="right"),
        ]
    )
    def add(self, left, right):
        return {"sum": left + right}

    def save(self, path: str) -> None:
        tf.saved_model.save(
            self,
            path,
            signatures={
                "serving_default": self.affine,
                "fail": self.fail_above_ten,
                "sleep": self.sleep,
                "add": self.add,
            },
        )


class Ranker(tf.Module):
    """Scores tf.Example: x plus the position of `kind` in a vocabulary table."""

    def __init__(self, vocabulary: list[str]) -> None:
        super().__init__()
        self.table = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(
                vocabulary, tf.range(len(vocabulary), dtype=tf.int64)
            ),
            num_oov_buckets=1,
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def score(self, examples):
        parsed = tf.io.parse_example(
            examples,
            {
                "x": tf.io.FixedLenFeature([], tf.float32),
                "kind": tf.io.FixedLenFeature([], tf.string),
            },
        )
        position = tf.cast(self.table.lookup(parsed["kind"]), tf.float32)
        return {"score": parsed["x"] + position, "kind": parsed["kind"]}


class Types(tf.Module):
    """Gives back what it gets, of every type that JSON has."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32, name="whole"),
            tf.TensorSpec([None], tf.int64, name="wide"),
            tf.TensorSpec([None], tf.float64, name="double"),
            tf.TensorSpec([None], tf.bool, name="flag"),
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None], tf.string, name="data_bytes"),
        ]
    )
    def same(self, whole, wide, double, flag, text, data_bytes):
        return {
            "whole": tf.identity(whole),
            "wide": tf.identity(wide),
            "double": tf.identity(double),
            "flag": tf.identity(flag),
            "text": tf.identity(text),
            "data_bytes": tf.identity(data_bytes),
        }


class Halves(tf.Module):
    """Numbers of 16 bits: as outputs, and in the signature `take` as an input."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def give(self, x):
        return {"half": tf.cast(x, tf.float16), "brain": tf.cast(x, tf.bfloat16)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float16, name="x")])
    def take(self, x):
        return {"y": tf.cast(x, tf.float32)}


class Crasher(tf.Module):
    """y = x; the signature `crash` ends the process."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def same(self, x):
        return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def crash(self, x):
        abort = tf.raw_ops.Abort(error_msg="a crash that a test asks for")
        with tf.control_dependencies([abort]):
            return {"y": tf.identity(x)}


def save_with_example_signatures(path: str) -> None:
    """Saves signatures of the methods classify and regress, on a feature x.

    classify gives classes low and high the scores x and -x; regress gives x / 2 + 1.
    """
    saved = tf.compat.v1.saved_model
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        examples = tf.compat.v1.placeholder(tf.string, [None], name="examples")
        parsed = tf.io.parse_example(
            examples, {"x": tf.io.FixedLenFeature([], tf.float32)}
        )
        x = parsed["x"]
        scores = tf.stack([x, -x], axis=1)
        classes = tf.tile([["low", "high"]], [tf.shape(x)[0], 1])
        builder = saved.Builder(path)
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "classify": saved.classification_signature_def(
                    examples, classes, scores
                ),
                "regress": saved.regression_signature_def(examples, x / 2 + 1),
                "serving_default": saved.predict_signature_def(
                    {"examples": examples}, {"score": x}
                ),
            },
        )
        builder.save()


def save_with_tags(path: str) -> None:
    """Saves y = x under the tag serve and y = 10 x under serve and gpu.

    Both give the size of the batch that they run in, too.
    """
    saved = tf.compat.v1.saved_model
    builder = saved.Builder(path)
    for factor, tags in ((1.0, ["serve"]), (10.0, ["serve", "gpu"])):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, [None])
            size = tf.fill(tf.shape(x), tf.size(x))
            outputs = {"y": factor * x, "size": size}
            signature = saved.predict_signature_def({"x": x}, outputs)
            signatures = {"serving_default": signature}
            if factor == 1.0:
                builder.add_meta_graph_and_variables(session, tags, signatures)
            else:
                builder.add_meta_graph(tags, signatures)
    builder.save()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Paths of SavedModels, by name."""
    root = tmp_path_factory.mktemp("models")
    Affine(0.5, 2.0).save(str(root / "half_plus_two"))
    Affine(0.5, 3.0).save(str(root / "half_plus_three"))
    for name, vocabulary in (
        ("ranker", ["a", "b", "c"]),
        ("other_ranker", ["c", "b", "a"]),
    ):
        ranker = Ranker(vocabulary)
        tf.saved_model.save(ranker, str(root / name), signatures=ranker.score)
    types, halves, crasher = Types(), Halves(), Crasher()
    tf.saved_model.save(types, str(root / "types"), signatures=types.same)
    tf.saved_model.save(
        halves,
        str(root / "halves"),
        signatures={"serving_default": halves.give, "take": halves.take},
    )
    tf.saved_model.save(
        crasher,
        str(root / "crasher"),
        signatures={"serving_default": crasher.same, "crash": crasher.crash},
    )
    save_with_example_signatures(str(root / "examples"))
    save_with_tags(str(root / "tagged"))
    return SimpleNamespace(**{path.name: path for path in root.iterdir()})


@pytest.fixture
def publish() -> Callable[..., Path]:
    """Copies a SavedModel to a version, `saved_model.pb` last, as Pusher does.

    `truncated=True` cuts saved_model.pb in half, `complete=False` leaves it out.
    """

    def copy(
        model: Path,
        base: Path,
        version: int,
        *,
        truncated: bool = False,
        complete: bool = True,
    ) -> Path:
        target = base / str(version)
        shutil.copytree(
            model,
            target,
            ignore=shutil.ignore_patterns("saved_model.pb"),
            dirs_exist_ok=True,
        )
        if complete:
            content = (model / "saved_model.pb").read_bytes()
            content = content[: len(content) // 2] if truncated else content
            # Renamed into place: no poll may see a part of it.
            (target / "part").write_bytes(content)
            (target / "part").rename(target / "saved_model.pb")
        return target

    return copy


@pytest.fixture
def predict_request() -> Callable[..., predict_pb2.PredictRequest]:
    """Builds a PredictRequest from arrays by input name."""

    def build(
        inputs: dict[str, Any],
        *,
        model: str = "m",
        signature: str = "",
        version: int | None = None,
        outputs: tuple[str, ...] = (),
    ) -> predict_pb2.PredictRequest:
        request = predict_pb2.PredictRequest(output_filter=outputs)
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for name, value in inputs.items():
            proto = value
            if not isinstance(value, tensor_pb2.TensorProto):
                dtype = {"seconds": tf.float64, "examples": tf.string}
                proto = tf.make_tensor_proto(value, dtype.get(name, tf.float32))
            request.inputs[name].CopyFrom(proto)
        return request

    return build


@pytest.fixture
def example() -> Callable[..., bytes]:
    """Serializes a tf.Example; floats, integers and texts take their own lists."""

    def build(**values: Any) -> bytes:
        features = {}
        for name, value in values.items():
            if isinstance(value, float):
                feature = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
            elif isinstance(value, int):
                feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
            else:
                content = tf.train.BytesList(value=[value.encode()])
                feature = tf.train.Feature(bytes_list=content)
            features[name] = feature
        proto = tf.train.Example(features=tf.train.Features(feature=features))
        return proto.SerializeToString()

    return build


@pytest.fixture
def write_warmup() -> Callable[..., Path]:
    """Writes a warm-up file of PredictionLog records (or of raw bytes)."""

    def write(path: Path, *records: Any) -> Path:
        file = path / "assets.extra" / "tf_serving_warmup_requests"
        file.parent.mkdir(exist_ok=True)
        with tf.io.TFRecordWriter(str(file)) as writer:
            for record in records:
                if isinstance(record, predict_pb2.PredictRequest):
                    log = prediction_log_pb2.PredictionLog()
                    log.predict_log.request.CopyFrom(record)
                    record = log
                raw = isinstance(record, bytes)
                writer.write(record if raw else record.SerializeToString())
        return file

    return write


@pytest.fixture
def connect() -> Iterator[Callable[[str], SimpleNamespace]]:
    """Connects the official stubs to a target, as `.predictions` and `.models`."""
    channels = []

    def open_stubs(target: str) -> SimpleNamespace:
        channel = grpc.insecure_channel(
            target,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        channels.append(channel)
        return SimpleNamespace(
            predictions=prediction_service_pb2_grpc.PredictionServiceStub(channel),
            models=model_service_pb2_grpc.ModelServiceStub(channel),
        )

    yield open_stubs
    for channel in channels:
        channel.close()


@pytest.fixture(scope="session")
def entry() -> Callable[..., str]:
    """Writes a model of a configuration; base paths bear the models' names.

    `extra` are more of its fields, as text; the other keywords are versions by label.
    """

    def write(
        root: Path, name: str, policy: str = "", extra: str = "", **labels: int
    ) -> str:
        if policy:
            extra += f" model_version_policy {{ {policy} }}"
        for label, version in labels.items():
            extra += f' version_labels {{ key: "{label}" value: {version} }}'
        return (
            f'config {{ name: "{name}" base_path: "{root / name}"'
            f' model_platform: "tensorflow" {extra} }}'
        )

    return write


@pytest.fixture(scope="session")
def write_config() -> Callable[..., Path]:
    """Writes a configuration of models to a file, at once."""

    def write(path: Path, *entries: str) -> Path:
        part = path.with_suffix(".part")
        part.write_text(f"model_config_list {{ {' '.join(entries)} }}")
        part.rename(path)
        return path

    return write


@pytest.fixture(scope="session")
def link() -> Callable[..., None]:
    """Makes SavedModels the versions of a model, by version."""

    def make(base: Path, versions: dict[int, Path]) -> None:
        base.mkdir(parents=True)
        for version, model in versions.items():
            (base / str(version)).symlink_to(model)

    return make


@pytest.fixture
def score(predict_request: Callable[..., Any]) -> Callable[..., float]:
    """Predicts y at x = 0: 2 of half_plus_two, 3 of half_plus_three."""

    def ask(
        stubs: SimpleNamespace, model: str, version: int | None = None, label: str = ""
    ) -> float:
        request = predict_request({"x": [0.0]}, model=model, version=version)
        if label:
            request.model_spec.version_label = label
        response = stubs.predictions.Predict(request, timeout=10)
        return float(response.outputs["y"].float_val[0])

    return ask


@pytest.fixture
def states() -> Callable[..., dict[int, int]]:
    """Asks for the state of each version of a model."""

    def ask(stubs: SimpleNamespace, model: str) -> dict[int, int]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        response = stubs.models.GetModelStatus(request, timeout=20)
        return {entry.version: entry.state for entry in response.model_version_status}

    return ask


@pytest.fixture
def error_of() -> Callable[..., tuple[grpc.StatusCode, str]]:
    """Calls and returns the code and the message of the error that comes."""

    def call(function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        with pytest.raises(grpc.RpcError) as caught:
            function(*arguments, **more)
        return caught.value.code(), caught.value.details()

    return call


@pytest.fixture
def reload() -> Callable[..., Any]:
    """Sends a HandleReloadConfigRequest of models."""

    def send(stubs: SimpleNamespace, *entries: str) -> Any:
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(
            f"model_config_list {{ {' '.join(entries)} }}", request.config
        )
        return stubs.models.HandleReloadConfigRequest(request, timeout=20)

    return send


@pytest.fixture
def serve() -> Iterator[Callable[..., ModelServer]]:
    """Starts servers of the model `m` that look for versions 20 times a second."""
    servers = []

    def start(base: Path | str = "", **arguments: Any) -> ModelServer:
        defaults = {
            "port": -1,
            "isolate_models": False,
            "file_system_poll_wait_seconds": 0.05,
            "max_num_load_retries": 0,
        }
        server = ModelServer("m", base, **(defaults | arguments))
        server.start(timeout=30)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop(grace=5)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until a condition holds, and fails if it doesn't."""

    def wait(condition: Callable[[], object], timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        for pause in itertools.repeat(0.02):
            if condition():
                return
            assert time.monotonic() < deadline, "the condition never came true"
            time.sleep(pause)

    return wait


LOCALHOST = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@pytest.fixture(scope="session")
def issue() -> Callable[..., SimpleNamespace]:
    """Makes certificates, by an issuer or by themselves; `signer` is the key itself."""

    def make(
        name: str,
        names: Sequence[x509.GeneralName] = (LOCALHOST,),
        issuer: SimpleNamespace | None = None,
    ) -> SimpleNamespace:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now, hour = datetime.datetime.now(datetime.UTC), datetime.timedelta(hours=1)
        certificate = (
            x509.CertificateBuilder(
                issuer_name=issuer.subject if issuer else subject,
                subject_name=subject,
                public_key=key.public_key(),
                serial_number=x509.random_serial_number(),
                not_valid_before=now - hour,
                not_valid_after=now + hour,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.BasicConstraints(ca=issuer is None, path_length=None),
                critical=True,
            )
            .sign(issuer.signer if issuer else key, hashes.SHA256())
        )
        encoding = serialization.Encoding.PEM
        return SimpleNamespace(
            subject=subject,
            signer=key,
            certificate=certificate.public_bytes(encoding),
            key=key.private_bytes(
                encoding,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    return make


@pytest.fixture
def write_ssl_config(tmp_path: Path) -> Callable[..., Path]:
    """Writes an SSLConfig of what `issue` made, with the authority of clients."""

    def write(
        own: SimpleNamespace, authority: SimpleNamespace, *, verify: bool = False
    ) -> Path:
        path = tmp_path / "ssl"
        path.write_text(
            f"server_key: {own.key.decode()!r}\n"
            f"server_cert: {own.certificate.decode()!r}\n"
            f"custom_ca: {authority.certificate.decode()!r}\n"
            f"client_verify: {str(verify).lower()}\n"
        )
        return path

    return write

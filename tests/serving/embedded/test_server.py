"""The gRPC surface: messages and codes as TensorFlow Serving has them."""

import socket
import threading
import time

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving.embedded.grpc_server import parse_channel_arguments
from serving.embedded.options import ServerOptions
from serving.embedded.server import ModelServer
from serving.errors import ServingError

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def stubs(base, serve, connect):
    return connect(serve(base).target)


def error_of(method, request):
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=10)
    return caught.value.code(), caught.value.details()


def metadata_request(model="m", fields=("signature_def",)):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = model
    return request


def status_request(model="m", version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    return request


def test_predict(stubs, predict_request):
    response = stubs.predictions.Predict(predict_request({"x": [1.0, 2.0]}))

    assert list(response.outputs["y"].float_val) == [2.5, 3.0]
    assert response.model_spec.name == "m"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"


def test_predict_of_a_specific_version(stubs, predict_request):
    predict = stubs.predictions.Predict

    assert (
        predict(predict_request({"x": [1.0]}, version=1)).model_spec.version.value == 1
    )
    assert error_of(predict, predict_request({"x": [1.0]}, version=2)) == (
        NOT_FOUND,
        "Servable not found for request: Specific(m, 2)",
    )


def test_predict_of_an_unknown_model(stubs, predict_request):
    predict = stubs.predictions.Predict

    assert error_of(predict, predict_request({"x": [1.0]}, model="q")) == (
        NOT_FOUND,
        "Servable not found for request: Latest(q)",
    )
    assert error_of(predict, predict_request({"x": [1.0]}, model="q", version=3)) == (
        NOT_FOUND,
        "Servable not found for request: Specific(q, 3)",
    )


def test_predict_without_a_model(stubs, predict_request):
    predict = stubs.predictions.Predict

    assert error_of(predict, predict_pb2.PredictRequest()) == (
        INVALID,
        "Missing ModelSpec",
    )
    assert error_of(predict, predict_request({"x": [1.0]}, model="")) == (
        INVALID,
        "ModelSpec has no name specified.",
    )


def test_predict_of_an_unknown_label(stubs, predict_request):
    request = predict_request({"x": [1.0]})
    request.model_spec.version_label = "canary"

    assert error_of(stubs.predictions.Predict, request) == (
        INVALID,
        "Unrecognized servable version label: canary",
    )


def test_predict_of_an_unknown_signature(stubs, predict_request):
    request = predict_request({"x": [1.0]}, signature="s")

    assert error_of(stubs.predictions.Predict, request) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "s" not found.',
    )


def test_a_long_message_arrives_clipped(
    models, publish, tmp_path, serve, connect, predict_request
):
    publish(models.ranker, tmp_path, 1)
    stubs = connect(serve(tmp_path).target)

    request = predict_request({"examples": [b"\xc3garbage" * 10_000]})
    code, details = error_of(stubs.predictions.Predict, request)

    assert code is INVALID
    assert details.startswith("Could not parse example input")
    assert details.endswith("...TRUNCATED")


def test_messages_of_many_megabytes_pass(stubs, predict_request):
    request = predict_request({"x": tf.ones(2_000_000)}, outputs=("y",))

    response = stubs.predictions.Predict(request, timeout=30)

    assert len(response.outputs["y"].float_val) == 2_000_000


def test_metadata(stubs):
    response = stubs.predictions.GetModelMetadata(metadata_request())

    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) >= {"serving_default", "add"}
    assert response.model_spec.name == "m"
    assert response.model_spec.version.value == 1


def test_metadata_of_what_is_not_there(stubs):
    get = stubs.predictions.GetModelMetadata

    assert error_of(get, metadata_request("q")) == (
        NOT_FOUND,
        "Servable not found for request: Latest(q)",
    )
    assert error_of(get, metadata_request(fields=())) == (
        INVALID,
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    assert error_of(get, metadata_request(fields=("assets",))) == (
        INVALID,
        "Metadata field assets is not supported",
    )
    assert error_of(get, get_model_metadata_pb2.GetModelMetadataRequest()) == (
        INVALID,
        "Missing ModelSpec",
    )


def test_status(base, models, publish, stubs, eventually):
    get = stubs.models.GetModelStatus
    publish(models.half_plus_three, base, 2, truncated=True)
    eventually(lambda: len(get(status_request()).model_version_status) == 2)
    eventually(lambda: get(status_request()).model_version_status[0].state == 50)

    bad, good = get(status_request()).model_version_status

    assert (good.version, good.state, good.status.error_code) == (1, 30, 0)
    assert good.HasField("status")
    assert (bad.version, bad.state) == (2, 50)
    assert bad.status.error_code == grpc.StatusCode.DATA_LOSS.value[0]
    assert "saved_model.pb" in bad.status.error_message


def test_status_of_one_version(stubs):
    (entry,) = stubs.models.GetModelStatus(
        status_request(version=1)
    ).model_version_status

    assert (entry.version, entry.state) == (1, 30)
    assert error_of(stubs.models.GetModelStatus, status_request(version=9)) == (
        NOT_FOUND,
        "Could not find version 9 of model m",
    )


def test_status_ignores_a_label(stubs):
    request = status_request()
    request.model_spec.version_label = "canary"

    assert len(stubs.models.GetModelStatus(request).model_version_status) == 1


def test_status_of_what_is_not_there(stubs):
    get = stubs.models.GetModelStatus

    assert error_of(get, status_request("q")) == (
        NOT_FOUND,
        "Could not find any versions of model q",
    )
    assert error_of(get, get_model_status_pb2.GetModelStatusRequest()) == (
        INVALID,
        "Missing ModelSpec",
    )


@pytest.mark.slow
def test_a_swap_under_load_loses_no_request(
    base, models, publish, serve, connect, predict_request, eventually
):
    server = serve(base)
    stubs = connect(server.target)
    done = threading.Event()
    answers: list[tuple[int, float]] = []
    failures: list[grpc.RpcError] = []

    def ask():
        request = predict_request({"x": [0.0]}, outputs=("y",))
        while not done.is_set():
            try:
                response = stubs.predictions.Predict(request, timeout=10)
            except grpc.RpcError as error:
                failures.append(error)
                return
            value = response.outputs["y"].float_val[0]
            answers.append((response.model_spec.version.value, value))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in range(2, 6):
        model = models.half_plus_three if version % 2 == 0 else models.half_plus_two
        publish(model, base, version)
        eventually(lambda v=version: answers and answers[-1][0] == v)
    done.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {version for version, _ in answers} == {1, 2, 3, 4, 5}
    assert all(value == (3 if version % 2 == 0 else 2) for version, value in answers)
    eventually(
        lambda: (
            [s.state for s in server.models.statuses(status_request())]
            == [30, 50, 50, 50, 50]
        )
    )


def test_stop_lets_requests_in_flight_end(base, serve, connect, predict_request):
    server = serve(base)
    stubs = connect(server.target)
    request = predict_request({"seconds": 0.5}, signature="sleep")
    call = stubs.predictions.Predict.future(request, timeout=10)
    time.sleep(0.2)

    server.stop(grace=10)

    assert call.result().outputs["turns"].int_val[0] > 0
    code, _ = error_of(stubs.predictions.Predict, request)
    assert code is grpc.StatusCode.UNAVAILABLE


def test_the_server_is_a_context_manager(base, connect, predict_request):
    server = ModelServer("m", base, port=-1, isolate_models=False)
    assert server.port == 0

    with server:
        stubs = connect(server.target)
        stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)
    code, _ = error_of(stubs.predictions.Predict, predict_request({"x": [1.0]}))
    assert code is grpc.StatusCode.UNAVAILABLE


def test_port_0_is_none(base, serve, connect, predict_request, tmp_path):
    path = tmp_path / "socket"
    server = serve(base, port=0, grpc_socket_path=str(path), rest_api_port=-1)

    assert server.port == 0
    assert server.rest_port > 0
    stubs = connect(f"unix:{path}")
    stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)


def test_the_port_opens_after_the_first_load(models, publish, tmp_path, serve):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    thread = threading.Thread(target=serve, args=(tmp_path,), kwargs={"port": port})
    thread.start()
    time.sleep(0.3)
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0

    publish(models.half_plus_two, tmp_path, 1)
    thread.join()

    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) == 0


def is_open(host, port):
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


@pytest.mark.parametrize(
    ("host", "others"), [("127.0.0.1", False), (ServerOptions.host, True)]
)
def test_both_ports_are_on_the_host(
    base, serve, connect, predict_request, host, others
):
    server = serve(base, host=host, rest_api_port=-1)

    assert server.target == f"127.0.0.1:{server.port}"
    for port in (server.port, server.rest_port):
        assert is_open("127.0.0.1", port)
        assert is_open("127.0.0.2", port) is others
    stubs = connect(server.target)
    stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)


def test_a_port_that_is_taken_on_another_host_is_free(base, serve):
    first = serve(base, host="127.0.0.2")

    second = serve(base, host="127.0.0.1", port=first.port)

    assert (second.port, first.target) == (first.port, f"127.0.0.2:{first.port}")


def test_a_host_that_is_no_address_is_refused(base):
    with pytest.raises(ServingError, match="host: expected an IP address"):
        ModelServer("m", base, host="localhost")


def test_a_port_in_use_is_refused(base, serve):
    first = serve(base)

    with pytest.raises(OSError, match=f"can't open port {first.port}: Address already"):
        ModelServer("m", base, port=first.port, isolate_models=False).start()


def test_a_socket_in_use_is_refused(base, serve, connect, predict_request, tmp_path):
    path = tmp_path / "socket"
    serve(base, grpc_socket_path=str(path))

    with pytest.raises(OSError, match=f"can't open the socket {path}: a server"):
        serve(base, grpc_socket_path=str(path))

    stubs = connect(f"unix:{path}")
    stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)


def test_a_socket_that_was_left_behind_is_taken(
    base, serve, connect, predict_request, tmp_path
):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    serve(base, grpc_socket_path=str(path))

    stubs = connect(f"unix:{path}")
    stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ({"port": 0}, "set one of them"),
        ({"port": 18600, "rest_api_port": 18600}, "rest_api_port can't be 18600"),
    ],
)
def test_ports_that_can_not_be(base, ports, expected):
    with pytest.raises(ServingError, match=expected):
        ModelServer("m", base, **ports)


def test_channel_arguments_are_read():
    assert parse_channel_arguments("") == {}
    assert parse_channel_arguments("grpc.a=1, grpc.b=text") == {
        "grpc.a": 1,
        "grpc.b": "text",
    }
    with pytest.raises(ServingError, match=r"expected name=value.* found 'grpc.a'"):
        parse_channel_arguments("grpc.a")


def test_channel_arguments_reach_grpc(base, serve, connect, predict_request):
    arguments = "grpc.max_receive_message_length=1000"
    stubs = connect(serve(base, grpc_channel_arguments=arguments).target)

    stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=10)
    code, _ = error_of(stubs.predictions.Predict, predict_request({"x": [1.5] * 1000}))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("tags", "expected"), [("serve", 2.0), ("serve,gpu", 20.0), ("gpu,serve", 20.0)]
)
def test_tags_choose_the_meta_graph(
    models, publish, serve, connect, predict_request, tmp_path, tags, expected
):
    publish(models.tagged, tmp_path, 1)
    stubs = connect(serve(tmp_path, saved_model_tags=tags).target)

    response = stubs.predictions.Predict(predict_request({"x": [2.0]}), timeout=10)

    assert list(response.outputs["y"].float_val) == [expected]


def test_tags_that_no_meta_graph_has(models, publish, serve, tmp_path):
    publish(models.tagged, tmp_path, 1)

    with pytest.raises(ServingError, match="tpu") as caught:
        serve(tmp_path, saved_model_tags="tpu")
    assert caught.value.code is grpc.StatusCode.NOT_FOUND

"""REST: paths, forms, values, gzip, and errors with their HTTP status."""

import gzip

import grpc
import pytest
import requests

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("surface")]

# Files of Linux that fail for root, too: with EACCES, ENOSPC and EIO.
WRITE_ONLY = "/sys/bus/cpu/uevent"
FULL = "/dev/full"
UNMAPPED = "/proc/self/mem"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("", 3.5, id="latest"),
        pytest.param("/versions/1", 2.5, id="version-1"),
        pytest.param("/versions/2", 3.5, id="version-2"),
        pytest.param("/labels/stable", 2.5, id="stable"),
        pytest.param("/labels/canary", 3.5, id="canary"),
    ],
)
def test_predict(server, path, expected):
    answer = server.rest(f"/v1/models/m{path}:predict", {"inputs": [1.0]})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json()["outputs"]["y"] == [expected]


@pytest.mark.parametrize("path", ["", "/versions/1", "/labels/only"])
def test_classify_and_regress(server, path):
    path = f"/v1/models/examples{path}"
    body = {"signature_name": "classify", "examples": [{"x": 1.0}, {"x": [3.0]}]}
    assert server.rest(f"{path}:classify", body).json() == {
        "results": [[["low", 1.0], ["high", -1.0]], [["low", 3.0], ["high", -3.0]]]
    }
    body = {"signature_name": "regress", "examples": [{"x": 1.0}, {"x": [3.0]}]}
    assert server.rest(f"{path}:regress", body).json() == {"results": [1.5, 2.5]}


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        pytest.param("", {"1", "2"}, id="all"),
        pytest.param("/versions/1", {"1"}, id="version"),
        pytest.param("/labels/stable", {"1", "2"}, id="label"),
    ],
)
def test_status(server, path, versions):
    answer = server.rest(f"/v1/models/m{path}")

    assert answer.status_code == 200
    found = answer.json()["model_version_status"]
    assert {entry.pop("version") for entry in found} == versions
    assert found == [
        {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ] * len(versions)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        pytest.param("", "2", id="latest"),
        pytest.param("/versions/1", "1", id="version"),
        pytest.param("/labels/stable", "1", id="label"),
    ],
)
def test_metadata(server, path, version):
    answer = server.rest(f"/v1/models/m{path}/metadata")

    assert answer.status_code == 200
    body = answer.json()
    assert body["model_spec"] == {
        "name": "m",
        "signature_name": "",
        "version": version,
    }
    signatures = body["metadata"]["signature_def"]["signature_def"]
    assert signatures["add"]["inputs"]["left"]["dtype"] == "DT_FLOAT"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/V1/Models/m:predict", {"inputs": [1.0]}, id="predict"),
        pytest.param("/v1/models/m/VERSIONS/2:predict", {"inputs": [1.0]}, id="of-one"),
        pytest.param("/v1/models/m/Labels/canary:predict", {"inputs": [1.0]}, id="by"),
        pytest.param("/v1/MODELS/m", None, id="status"),
        pytest.param("/V1/MODELS/m/metadata", None, id="metadata"),
    ],
)
def test_the_path_knows_no_case(server, path, body):
    assert server.rest(path, body).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/v1/foo", id="get-what-is-not-there"),
        pytest.param("POST", "/v1/foo", id="post-what-is-not-there"),
        pytest.param("GET", "/v1/health", id="no-health"),
        pytest.param("GET", "/v1/models/m:predict", id="get-a-prediction"),
        pytest.param("POST", "/v1/models/m", id="post-a-status"),
        pytest.param("POST", "/v1/models/m/metadata", id="post-metadata"),
        pytest.param("PUT", "/v1/models/m:predict", id="put"),
        pytest.param("DELETE", "/v1/models/m", id="delete"),
        pytest.param("POST", "/v1/models/m:guess", id="no-method"),
        pytest.param("POST", "/v1/models/m/versions/x:predict", id="no-version"),
        pytest.param("POST", "/v1/models/m/versions/-1:predict", id="below-zero"),
        pytest.param("GET", "/v1/models/m/versions/1/labels/stable", id="two-choices"),
        pytest.param("GET", "/v1/models/m/assets", id="no-sub-resource"),
    ],
)
def test_a_malformed_request(server, rest_error, method, path):
    answer = server.rest(path, {} if method in ("POST", "PUT") else None, method)

    assert rest_error(answer) == (400, f"Malformed request: {method} {path}")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/models/m", "/metrics", "/health", "/healthz", "/ready"],
)
def test_another_path_is_a_plain_404(server, path):
    answer = server.rest(path)

    assert answer.status_code == 404
    assert "json" not in answer.headers.get("Content-Type", "")


def test_row_form(server):
    path = "/v1/models/m/versions/1:predict"

    assert server.rest(path, {"instances": [1.0, 2.0]}).json() == {
        "predictions": [
            {"y": 2.5, "same": 2.5, "x_int": 1},
            {"y": 3.0, "same": 3.0, "x_int": 2},
        ]
    }


def test_row_form_by_names(server):
    body = {
        "signature_name": "add",
        "instances": [{"left": 1, "right": 2}, {"left": 3, "right": 0.5}],
    }

    # Of a single output, the name is left out.
    assert server.rest("/v1/models/m:predict", body).json() == {
        "predictions": [3.0, 3.5]
    }


def test_column_form(server):
    path = "/v1/models/m/versions/1:predict"

    assert server.rest(path, {"inputs": [1.0, 2.0]}).json() == {
        "outputs": {"y": [2.5, 3.0], "same": [2.5, 3.0], "x_int": [1, 2]}
    }


def test_column_form_by_names(server):
    body = {"signature_name": "add", "inputs": {"left": [1, 2], "right": [0.5, 4]}}

    assert server.rest("/v1/models/m:predict", body).json() == {"outputs": [1.5, 6.0]}


def test_a_context_is_part_of_each_example(server):
    body = {
        "signature_name": "regress",
        "context": {"x": 5.0},
        "examples": [{}, {"x": 3.0}],
    }

    # 5 / 2 + 1, and the example's own 3 / 2 + 1.
    assert server.rest("/v1/models/examples:regress", body).json() == {
        "results": [3.5, 2.5]
    }


def test_bytes_go_as_base64_and_come_so_under_names_of_bytes(server):
    row = {
        "whole": 7,
        "wide": 2**40,
        "double": 0.1,
        "flag": True,
        "text": {"b64": "w6Q="},
        "data_bytes": {"b64": "/wA="},
    }

    answer = server.rest("/v1/models/types:predict", {"instances": [row]})

    # C3 A4 is the letter ä in UTF-8.
    assert answer.json() == {"predictions": [row | {"text": "ä"}]}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("NaN", "NaN", id="nan"),
        pytest.param("Infinity", "Infinity", id="infinity"),
        pytest.param("-Infinity", "-Infinity", id="minus-infinity"),
        pytest.param("0", "2.0", id="whole"),
        pytest.param("0.2", "2.1", id="six-digits"),
        pytest.param("0.123456", "2.061728", id="nine-digits"),
        pytest.param("2e30", "1e+30", id="exponent"),
    ],
)
def test_floats(server, value, text):
    body = f'{{"inputs": [{value}]}}'.encode()

    answer = server.rest("/v1/models/m/versions/1:predict", body)

    compact = "".join(answer.text.split())
    assert f'"y":[{text}]' in compact


def test_gzip(server):
    body = gzip.compress(b'{"inputs": [1.0]}')

    answer = server.rest(
        "/v1/models/m/versions/1:predict", body, headers={"Content-Encoding": "gzip"}
    )

    assert answer.json()["outputs"]["y"] == [2.5]


@pytest.mark.parametrize(
    ("model", "signature", "value", "status", "message"),
    [
        pytest.param("m", "fail", [11.0], 400, "too large", id="invalid-argument"),
        pytest.param("failures", "read", "/", 400, "/", id="failed-precondition"),
        pytest.param("failures", "take_from_empty", 1.0, 400, "End", id="out-of-range"),
        pytest.param("failures", "read", "/absent", 404, "/absent", id="not-found"),
        pytest.param(
            "failures", "read", WRITE_ONLY, 403, WRITE_ONLY, id="permission-denied"
        ),
        pytest.param(
            "failures", "create_twice", 1.0, 409, "Resource", id="already-exists"
        ),
        pytest.param("failures", "write", FULL, 429, FULL, id="resource-exhausted"),
        pytest.param("failures", "add_to_closed", 1.0, 499, "closed", id="cancelled"),
        pytest.param("failures", "unzip", "no zlib", 500, "", id="data-loss"),
        pytest.param("failures", "read", UNMAPPED, 500, UNMAPPED, id="unknown"),
        pytest.param(
            "halves",
            "take",
            [1.5],
            501,
            "Conversion of JSON Value: 1.5 to type: half",
            id="unimplemented",
        ),
    ],
)
def test_the_status_of_an_error(
    server, rest_error, model, signature, value, status, message
):
    body = {"signature_name": signature, "inputs": value}

    found, text = rest_error(server.rest(f"/v1/models/{model}:predict", body))

    assert found == status
    assert message in text


@pytest.mark.parametrize(
    ("code", "status"),
    [
        pytest.param(grpc.StatusCode.UNAUTHENTICATED, 401, id="unauthenticated"),
        pytest.param(grpc.StatusCode.ABORTED, 409, id="aborted"),
        pytest.param(grpc.StatusCode.INTERNAL, 500, id="internal"),
        pytest.param(grpc.StatusCode.UNAVAILABLE, 503, id="unavailable"),
    ],
)
def test_the_status_of_an_error_that_no_model_can_give(rest_error, code, status):
    from serving.embedded.http_server import HttpServer
    from serving.embedded.metrics import Metrics
    from serving.embedded.options import ServerOptions
    from serving.errors import ServingError

    class Handler:
        metrics = Metrics()

        def status(self, request):
            raise ServingError(code, "as it is")

    server = HttpServer(Handler(), ServerOptions(rest_api_port=-1), None)
    server.start()
    try:
        answer = requests.get(f"http://127.0.0.1:{server.port}/v1/models/m", timeout=10)
        assert rest_error(answer) == (status, "as it is")
    finally:
        server.stop(None)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x = 1", id="no-json"),
        pytest.param(b'{"inputs": [1.0]', id="cut"),
        pytest.param(b"\xff", id="no-utf-8"),
        pytest.param([1], id="no-object"),
        pytest.param({}, id="no-inputs"),
        pytest.param({"inputs": [1], "instances": [1]}, id="both-forms"),
        pytest.param({"instances": []}, id="no-rows"),
        pytest.param({"instances": 1}, id="no-list"),
        pytest.param({"instances": ["x"]}, id="another-type"),
        pytest.param({"instances": [[1], [1, 2]]}, id="uneven-rows"),
        pytest.param({"inputs": [[1], [1, 2]]}, id="uneven-column"),
        pytest.param({"instances": [{"q": 1}]}, id="no-such-input"),
        pytest.param({"signature_name": 1, "inputs": [1]}, id="signature-no-text"),
    ],
)
def test_a_wrong_body_is_told_as_json(server, rest_error, body):
    status, message = rest_error(server.rest("/v1/models/m:predict", body))

    assert status == 400
    assert message

"""The REST surface, over a real port."""

import gzip
import json
import math
import time

import pytest
import requests
from tensorflow_serving.apis import get_model_status_pb2

from serving.embedded.server import ModelServer
from serving.status import State


@pytest.fixture(scope="module")
def server(models, tmp_path_factory, link, entry, write_config):
    root = tmp_path_factory.mktemp("rest")
    link(root / "m", {1: models.half_plus_two, 2: models.half_plus_three})
    entries = [entry(root, "m", "all {}", stable=1, canary=2)]
    for name in ("types", "examples", "halves"):
        link(root / name, {1: getattr(models, name)})
        entries.append(entry(root, name))
    config = write_config(root / "models.config", *entries)
    with ModelServer(
        model_config_file=str(config),
        port=-1,
        rest_api_port=-1,
        isolate_models=False,
        allow_version_labels_for_unavailable_models=True,
        max_message_bytes=1_000_000,
    ) as server:
        # The ports open once the newest version serves.
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "m"
        deadline = time.monotonic() + 30
        while [one.state for one in server.models.statuses(request)] != [
            State.AVAILABLE
        ] * 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield server


@pytest.fixture(scope="module")
def ask(server):
    session = requests.Session()
    session.trust_env = False

    def send(path, body=None, **arguments):
        url = f"http://127.0.0.1:{server.rest_port}{path}"
        if body is None:
            return session.get(url, timeout=10, **arguments)
        data = body if isinstance(body, bytes) else json.dumps(body)
        return session.post(url, data, timeout=10, **arguments)

    yield send
    session.close()


def error_of(response):
    assert response.headers["Content-Type"].startswith("application/json")
    body = response.json()
    assert set(body) == {"error"}
    return response.status_code, body["error"]


def test_row_form(ask):
    answer = ask("/v1/models/m:predict", {"instances": [1.0, 2.0]})

    assert answer.status_code == 200
    rows = answer.json()["predictions"]
    assert rows == [
        {"y": 3.5, "same": 3.5, "x_int": 1},
        {"y": 4.0, "same": 4.0, "x_int": 2},
    ]


def test_column_form(ask):
    body = {"signature_name": "add", "inputs": {"left": [1, 2], "right": [0.5, 4]}}

    assert ask("/v1/models/m:predict", body).json() == {"outputs": [1.5, 6.0]}


def test_row_form_with_names(ask):
    body = {
        "signature_name": "add",
        "instances": [{"left": 1, "right": 2}, {"left": 3, "right": 4}],
    }

    assert ask("/v1/models/m:predict", body).json() == {"predictions": [3.0, 7.0]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/versions/1", 2.5),
        ("/versions/2", 3.5),
        ("/labels/stable", 2.5),
        ("/labels/canary", 3.5),
        ("", 3.5),
    ],
)
def test_versions_and_labels(ask, path, expected):
    answer = ask(f"/v1/models/m{path}:predict", {"inputs": [1.0]})

    assert answer.json()["outputs"]["y"] == [expected]


def test_the_path_knows_no_case(ask):
    assert ask("/V1/Models/m/Versions/1:Predict", {"inputs": [1.0]}).status_code == 200
    assert ask("/V1/MODELS/m").status_code == 200


def test_every_type_goes_there_and_back(ask):
    body = {
        "instances": [
            {
                "whole": 7,
                "wide": 2**40,
                "double": 0.1,
                "flag": True,
                "text": "ä",
                "data_bytes": {"b64": "/wA="},
            }
        ]
    }

    (row,) = ask("/v1/models/types:predict", body).json()["predictions"]

    assert row == {
        "whole": 7,
        "wide": 2**40,
        "double": 0.1,
        "flag": True,
        "text": "ä",
        "data_bytes": {"b64": "/wA="},
    }


def test_numbers_of_16_bits_are_written(ask):
    # 0.1 has 11 bits as half, 8 as bfloat16: 1638 / 2^14 (to even) and 205 / 2^11.
    answer = ask("/v1/models/halves:predict", {"inputs": [1.5, 0.1]}).text

    assert f'"half": [1.5, {1638 / 2**14:.9g}]' in answer
    assert f'"brain": [1.5, {205 / 2**11:.9g}]' in answer


def test_numbers_of_16_bits_are_not_read(ask):
    body = {"signature_name": "take", "inputs": [1.5]}

    # As in TensorFlow Serving.
    assert error_of(ask("/v1/models/halves:predict", body)) == (
        501,
        "Conversion of JSON Value: 1.5 to type: half",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", "2.5"),
        ("0", "2.0"),
        ("0.2", "2.1"),
        ("0.123456", "2.061728"),
        ("2e30", "1e+30"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_floats_are_written_as_upstream_does(ask, value, text):
    body = f'{{"instances": [{value}]}}'.encode()

    answer = ask("/v1/models/m/versions/1:predict", body)

    assert f'"y": {text}' in answer.text


def test_gzip(ask):
    body = gzip.compress(b'{"inputs": [1.0]}')
    headers = {"Content-Encoding": "gzip"}

    answer = ask("/v1/models/m/versions/1:predict", body, headers=headers)
    assert answer.json()["outputs"]["y"] == [2.5]

    code, _ = error_of(ask("/v1/models/m:predict", b"no gzip", headers=headers))
    assert code == 400


def test_a_body_that_is_too_large(ask):
    bomb = gzip.compress(b" " * 20_000_000)

    code, _ = error_of(
        ask("/v1/models/m:predict", bomb, headers={"Content-Encoding": "gzip"})
    )
    assert code == 429
    assert ask("/v1/models/m:predict", {"inputs": [1.0]}).status_code == 200


def test_classify_and_regress(ask):
    examples = {"examples": [{"x": 1.0}, {"x": [3.0]}]}
    body = {"signature_name": "classify", **examples}
    assert ask("/v1/models/examples:classify", body).json() == {
        "results": [[["low", 1.0], ["high", -1.0]], [["low", 3.0], ["high", -3.0]]]
    }
    body = {"signature_name": "regress", **examples}
    assert ask("/v1/models/examples:regress", body).json() == {"results": [1.5, 2.5]}
    body = {"signature_name": "regress", "context": {"x": 5.0}, "examples": [{}]}
    assert ask("/v1/models/examples:regress", body).json() == {"results": [3.5]}


def test_status(ask):
    body = ask("/v1/models/m").json()

    assert [entry["version"] for entry in body["model_version_status"]] == ["2", "1"]
    assert body["model_version_status"][0] == {
        "version": "2",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    (one,) = ask("/v1/models/m/versions/1").json()["model_version_status"]
    assert one["version"] == "1"
    # A label is ignored.
    assert len(ask("/v1/models/m/labels/x").json()["model_version_status"]) == 2


def test_metadata(ask):
    body = ask("/v1/models/m/versions/1/metadata").json()

    assert body["model_spec"] == {"name": "m", "signature_name": "", "version": "1"}
    signatures = body["metadata"]["signature_def"]["signature_def"]
    assert signatures["add"]["inputs"]["left"]["dtype"] == "DT_FLOAT"


@pytest.mark.parametrize(
    ("path", "body", "code", "message"),
    [
        ("/v1/foo", None, 400, "Malformed request: GET /v1/foo"),
        ("/v1/foo", {}, 400, "Malformed request: POST /v1/foo"),
        ("/v1/models", None, 400, "Missing model name in request."),
        ("/v1/models/m:predict", None, 400, "Malformed request: GET"),
        ("/v1/models/m/metadata", {}, 400, "Malformed request: POST"),
        ("/v1/models/m/versions/x:predict", {}, 400, "Malformed request: POST"),
        (
            "/v1/models/m/versions/18446744073709551615:predict",
            {},
            400,
            "Failed to convert version: 18446744073709551615 to numeric.",
        ),
        (
            "/v1/models/q:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Latest(q)",
        ),
        (
            "/v1/models/m/versions/9:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(m, 9)",
        ),
        ("/v1/models/q", None, 404, "Could not find any versions of model q"),
        (
            "/v1/models/m/labels/x:predict",
            {"instances": [1]},
            400,
            "Unrecognized servable version label: x",
        ),
        (
            "/v1/models/m:predict",
            {"signature_name": "s", "instances": [1]},
            400,
            'Serving signature name: "s" not found in signature def',
        ),
        (
            "/v1/models/m:predict",
            {"signature_name": 100},
            400,
            "'signature_name' key must be a string value.",
        ),
        (
            "/v1/models/m:classify",
            {"signature_name": "s", "examples": [{"x": 1.0}]},
            400,
            "No signature was found with the name: s",
        ),
        (
            "/v1/models/m:regress",
            {"examples": [{"x": 1.0}]},
            400,
            "Expected regression signature method_name to be"
            " tensorflow/serving/regress. Was: tensorflow/serving/predict",
        ),
        ("/v1/models/m:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("/v1/models/m:predict", b"x = 1", 400, "JSON Parse error: Invalid value."),
        ("/v1/models/m:predict", b"\xff", 400, "Invalid encoding in string."),
        ("/v1/models/m:predict", b"[" * 100_000, 400, "JSON Parse error"),
        ("/v1/models/m:predict", b"9" * 9999, 400, "JSON Parse error"),
        ("/v1/models/m:predict", [1], 400, "Is not object"),
        ("/v1/models/m:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        (
            "/v1/models/m:predict",
            {"inputs": [1], "instances": [1]},
            400,
            "expecting only one of",
        ),
        ("/v1/models/m:predict", {"instances": []}, 400, "No values in 'instances'"),
        ("/v1/models/m:predict", {"instances": 1}, 400, "to be an list/array"),
        (
            "/v1/models/m:predict",
            {"instances": ["x"]},
            400,
            'JSON Value: "x" Type: String is not of expected type: float',
        ),
        (
            "/v1/models/m:predict",
            {"instances": [[1], [1, 2]]},
            400,
            "Expecting tensor size: 1 but got: 2",
        ),
        (
            "/v1/models/m:predict",
            {"inputs": [[1], [1, 2]]},
            400,
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            "/v1/models/m:predict",
            {"signature_name": "add", "inputs": {"left": [1]}},
            400,
            "Missing named input: right in 'inputs' object.",
        ),
        (
            "/v1/models/m:predict",
            {"instances": [{"q": 1}]},
            400,
            "JSON object: does not have named input: q",
        ),
        (
            "/v1/models/examples:predict",
            {"inputs": [{"b64": "?"}]},
            400,
            "Unable to base64 decode",
        ),
        ("/v1/models/m:classify", {"examples": []}, 400, "is an empty array"),
        ("/v1/models/m:regress", {"examples": [1]}, 400, "Example must be JSON object"),
        (
            "/v1/models/m:regress",
            {"examples": [{"x": [1.0, "a"]}]},
            400,
            "Unexpected element type in feature: x",
        ),
    ],
)
def test_errors(ask, path, body, code, message):
    found, text = error_of(ask(path, body))

    assert found == code
    assert message in text


def test_a_run_that_fails_keeps_its_code(ask):
    body = {"signature_name": "fail", "inputs": [11.0]}

    code, text = error_of(ask("/v1/models/m:predict", body))

    assert code == 400
    assert "too large" in text


@pytest.mark.parametrize(
    "path", ["/", "/index", "/metrics", "/v1", "/monitoring/prometheus/metrics"]
)
def test_other_paths_are_a_plain_404(ask, path):
    answer = ask(path)

    assert answer.status_code == 404
    assert "json" not in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/..%2f..%2fetc",
        "/v1/models/%2e%2e/metadata",
        "/v1/models/m/labels/..%2fx:predict",
        "/v1/../../etc/passwd",
    ],
)
def test_no_path_reaches_a_file(ask, path):
    answer = ask(path)

    assert answer.status_code in (400, 404)
    assert "root:" not in answer.text


def test_numbers_that_a_float_does_not_hold(ask):
    answer = ask("/v1/models/m:predict", {"instances": [2**30 + 1]})

    assert "without loss of precision" in error_of(answer)[1]
    assert math.isnan(
        ask("/v1/models/m:predict", b'{"instances": [NaN]}').json()["predictions"][0][
            "y"
        ]
    )

"""What of the metrics is the embedded server's own, and files that can't be used."""

import re
import time

import grpc
import pytest
import requests

from serving.embedded import rest_json
from serving.embedded.metrics import read_metrics_path
from serving.errors import ServingError, invalid

COUNT = ":tensorflow:serving:request_count"


@pytest.fixture
def server(base, serve, tmp_path):
    config = tmp_path / "monitoring"
    config.write_text("prometheus_config { enable: true }")
    return serve(base, rest_api_port=-1, monitoring_config_file=str(config))


@pytest.fixture
def page(server):
    url = f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics"
    return lambda: requests.get(url, timeout=10).text


@pytest.mark.e2e
def test_what_no_version_runs_is_counted_if_there_is_the_model(
    server, page, connect, predict_request
):
    stubs = connect(server.target).predictions
    for spec in ({"version": 9}, {"model": "unknown"}):
        call = stubs.Predict.future(predict_request({"x": [1.0]}, **spec))
        assert call.code() is grpc.StatusCode.NOT_FOUND
    url = f"http://127.0.0.1:{server.rest_port}/v1/models"
    for body in ("{", '{"instances": 1, "inputs": 1}'):
        for method in ("m:predict", "m:regress", "unknown:predict"):
            requests.post(f"{url}/{method}", data=body, timeout=10)

    found = page()

    assert f'{COUNT}{{model_name="m",status="NOT_FOUND"}} 1.0' in found
    assert f'{COUNT}{{model_name="m",status="INVALID_ARGUMENT"}} 4.0' in found
    assert "unknown" not in found
    assert 'model_name=""' not in found


@pytest.mark.e2e
def test_metrics_of_rest_have_its_json(server, page, monkeypatch):
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
    parse, write = rest_json.parse_json, rest_json.predict_response_json

    def parse_slowly(body):
        time.sleep(0.1)
        return parse(body)

    def write_slowly(response, by_row):
        time.sleep(0.2)
        return write(response, by_row)

    def refuse(response, by_row):
        raise invalid("JSON has no such number")

    def ask():
        return requests.post(url, json={"inputs": [1.0]}, timeout=10).status_code

    monkeypatch.setattr(rest_json, "parse_json", parse_slowly)
    monkeypatch.setattr(rest_json, "predict_response_json", write_slowly)
    assert ask() == 200
    monkeypatch.setattr(rest_json, "predict_response_json", refuse)
    assert ask() == 400

    found = page()
    assert f'{COUNT}{{model_name="m",status="OK"}} 1.0' in found
    assert f'{COUNT}{{model_name="m",status="INVALID_ARGUMENT"}} 1.0' in found
    (microseconds,) = re.findall(r"request_latency_sum\{.*\} (.*)", found)
    assert float(microseconds) >= 300_000


def test_a_wrong_file(tmp_path):
    config = tmp_path / "monitoring"
    config.write_text("prometheus_config { enable: maybe }")

    with pytest.raises(ServingError, match="Invalid protobuf file"):
        read_metrics_path(str(config))

"""Prometheus: names, labels and counts of the metrics, and the path of their page."""

import re

import grpc
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("surface")]

LINE = re.compile(r"^(:tensorflow:serving:\w+)\{(.*)\} (\S+)$", re.MULTILINE)
FOUR = [1.0, 2.0, 3.0, 4.0]
COUNT = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
RUNTIME = ":tensorflow:serving:runtime_latency"


@pytest.fixture
def values(flagged):
    """Asks for the value of each metric of the model, by name and labels."""

    def read():
        answer = flagged.server.rest("/numbers")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        found = {}
        for name, text, value in LINE.findall(answer.text):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', text))
            if labels.pop("model_name", None) == "tagged" and "le" not in labels:
                found[name, tuple(sorted(labels.items()))] = float(value)
        return found

    return read


@pytest.fixture
def grown(values):
    """Tells by how much the metrics have grown since it was made."""
    before = values()

    def ask(name, **labels):
        key = name, tuple(sorted(labels.items()))
        return values()[key] - before.get(key, 0)

    return ask


@pytest.fixture
def predict(flagged, connect, predict_request):
    stubs = connect(flagged.server.target)

    def ask(signature=""):
        request = predict_request({"x": FOUR}, model="tagged", signature=signature)
        return stubs.predictions.Predict(request, timeout=10)

    return ask


def test_requests_are_counted_by_status(grown, predict):
    for _ in range(3):
        predict()
    for _ in range(2):
        with pytest.raises(grpc.RpcError):
            predict("s")

    assert grown(COUNT, status="OK") == 3
    assert grown(COUNT, status="FAILED_PRECONDITION") == 2


def test_requests_are_timed_by_api_and_entrypoint(flagged, grown, predict):
    for _ in range(2):
        predict()
    body = {"inputs": FOUR}
    answer = flagged.server.rest("/v1/models/tagged:predict", body)
    assert answer.json()["outputs"]["y"] == [10, 20, 30, 40]

    assert grown(f"{LATENCY}_count", API="Predict", entrypoint="GRPC") == 2
    assert grown(f"{LATENCY}_count", API="Predict", entrypoint="REST") == 1
    assert grown(f"{LATENCY}_sum", API="Predict", entrypoint="GRPC") > 0
    assert grown(COUNT, status="OK") == 3


def test_the_runtime_is_timed(values, predict):
    def count():
        found = values().items()
        return sum(value for (name, _), value in found if name == f"{RUNTIME}_count")

    before = count()
    predict()

    assert count() == before + 1


def test_types(flagged, predict):
    predict()

    page = flagged.server.rest("/numbers").text
    for name, kind in ((COUNT, "counter"), (LATENCY, "histogram")):
        assert f"# TYPE {name} {kind}\n" in page
    assert f"{RUNTIME}_bucket{{" in page


def test_the_path_is_the_configured_one(flagged, server):
    assert flagged.server.rest("/monitoring/prometheus/metrics").status_code == 404
    # Without a configuration, there are none.
    assert server.rest("/numbers").status_code == 404
    assert server.rest("/monitoring/prometheus/metrics").status_code == 404

"""The metrics of TensorFlow Serving, under its names."""

from __future__ import annotations

import prometheus_client

from serving.config_files import read_config
from serving.methods import MethodName
from serving.protos import MonitoringConfig

#: Where the page is unless the monitoring configuration says otherwise.
DEFAULT_PATH = "/monitoring/prometheus/metrics"

# Microseconds: 10 times the powers of 1.8, as in TensorFlow Serving.
_BUCKETS = tuple(10 * 1.8**power for power in range(33))
_COUNT = ":tensorflow:serving:request_count"
_LOG_COUNT = ":tensorflow:serving:request_log_count"


def read_metrics_path(path: str) -> str:
    """Reads a `--monitoring_config_file`.

    Args:
        path: A file with a MonitoringConfig as text, empty for none.

    Returns:
        The path of the page of metrics, empty for none.

    Raises:
        ServingError: The file can't be read, or is illegal.
    """
    if not path:
        return ""
    config = read_config(path, MonitoringConfig()).prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else ""


class Metrics:
    """Counts requests and times them."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            _COUNT,
            "The total number of requests.",
            ["model_name", "status"],
            registry=self._registry,
        )
        self._logged = prometheus_client.Counter(
            _LOG_COUNT,
            "The total number of requests logged from the model server sliced down by"
            " model_name and status code.",
            ["model_name", "status_code"],
            registry=self._registry,
        )
        self._latency = prometheus_client.Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for Tensorflow Serving"
            " request.",
            ["model_name", "API", "entrypoint"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._runtime = prometheus_client.Histogram(
            ":tensorflow:serving:runtime_latency",
            "Distribution of wall time (in microseconds) for Tensorflow runtime.",
            ["model_name", "API", "runtime"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def request(
        self, model: str, api: MethodName, entrypoint: str, status: str, seconds: float
    ) -> None:
        """Counts a request to a model that exists.

        Args:
            model: Name of the model.
            api: The method.
            entrypoint: `GRPC` or `REST`.
            status: Name of the status code.
            seconds: From the request to its answer.
        """
        self._requests.labels(model, status).inc()
        if status == "OK":
            self._latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def runtime(self, model: str, api: MethodName, seconds: float) -> None:
        """Counts the time that the model itself took for a request."""
        self._runtime.labels(model, api, "TF1").observe(seconds * 1e6)

    def logged(self, model: str, status: str) -> None:
        """Counts a request of the sample for the request log.

        Args:
            model: Name of the model.
            status: `OK` if it was written; dropped ones are `RESOURCE_EXHAUSTED` (too
                many waited) or `UNAVAILABLE` (the file can't be written).
        """
        self._logged.labels(model, status).inc()

    def page(self) -> bytes:
        """Returns the metrics in Prometheus' text format."""
        text: bytes = prometheus_client.generate_latest(self._registry)
        # TensorFlow Serving's counters don't bear the suffix that the library adds.
        for name in (_COUNT, _LOG_COUNT):
            text = text.replace(f"{name}_total".encode(), name.encode())
        return text

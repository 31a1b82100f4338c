"""Request logs as a server writes them, of rows whose distribution is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from midpg_tf.spec import DatasetSpec, ExampleEncoder

Log = prediction_log_pb2.PredictionLog


@pytest.fixture
def encode(spec: DatasetSpec) -> Callable[..., list[bytes]]:
    """Rows as serialized examples without label, as clients send them."""
    encoder = ExampleEncoder(spec)
    return lambda rows: [encoder.encode(row).SerializeToString() for row in rows]


@pytest.fixture
def predict_log(encode: Callable[..., list[bytes]]) -> Callable[..., Log]:
    """A request of the signature that takes examples."""

    def make(rows: Any, *, model: str = "shop", version: int = 7) -> Log:
        log = Log()
        log.log_metadata.model_spec.name = model
        log.log_metadata.model_spec.version.value = version
        log.predict_log.request.inputs["examples"].CopyFrom(
            tf.make_tensor_proto(encode(rows))
        )
        return log

    return make


@pytest.fixture
def write_records() -> Callable[..., Path]:
    """Writes a complete log file."""

    def write(path: Path, *records: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                raw = isinstance(record, bytes)
                writer.write(record if raw else record.SerializeToString())
        return path

    return write

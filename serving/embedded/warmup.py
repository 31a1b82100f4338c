"""Runs the requests that a SavedModel carries for its warm-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving.embedded.errors import from_op_error
from serving.errors import ServingError, invalid
from serving.methods import METHODS, MethodName
from serving.signatures import WARMUP_FILE

#: Most records that such a file may hold, as in TensorFlow Serving.
MAX_RECORDS = 1000
_METHODS = {method.log: name for name, method in METHODS.items()}


def warm_up(path: str, call: Callable[[MethodName, Any], object]) -> int:
    """Runs each request of the model's warm-up file, if it has one.

    Args:
        path: Directory of the SavedModel.
        call: Runs one request of a method.

    Returns:
        The number of records read; 0 without a file.

    Raises:
        ServingError: The file is damaged (DATA_LOSS), holds more than 1,000 records or
            something else than PredictionLog (INVALID_ARGUMENT), a record is of an
            unknown kind (UNIMPLEMENTED), or a request failed (its own code).
    """
    file = tf.io.gfile.join(path, WARMUP_FILE)
    if not tf.io.gfile.exists(file):
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
            count += 1
            if count > MAX_RECORDS:
                raise invalid(
                    "Number of warmup records exceeds the maximum"
                    f" ({MAX_RECORDS}) at {file}"
                )
            _run(record, call, where=f"record {count} of {file}")
    except tf.errors.DataLossError as error:
        raise ServingError(
            grpc.StatusCode.DATA_LOSS,
            f"{error.message}. Please verify your warmup data is in TFRecord format:"
            f" {file}",
        ) from error
    except tf.errors.OpError as error:
        raise from_op_error(error) from error
    return count


def _run(
    record: bytes, call: Callable[[MethodName, Any], object], *, where: str
) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid(
            f"Failed to parse warmup record: {where} is no PredictionLog"
        ) from error
    kind = log.WhichOneof("log_type")
    if kind is None:
        return
    if kind not in _METHODS:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"Unsupported log_type for warmup: {kind} ({where}); write predict_log",
        )
    try:
        call(_METHODS[kind], getattr(log, kind).request)
    except ServingError as error:
        raise ServingError(error.code, f"{error.message} (in {where})") from error

"""Responses as JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2, regression_pb2

from serving.embedded.rest_json.errors import dtype_name
from serving.embedded.rest_json.values import FLOATS, INTEGERS
from serving.errors import invalid
from serving.tensors import to_array


def predict_response_json(response: predict_pb2.PredictResponse, by_row: bool) -> str:
    """Writes the outputs of a predict request.

    Args:
        response: The outputs.
        by_row: Whether the request had the row form.

    Raises:
        ServingError: INVALID_ARGUMENT for outputs that the form or JSON doesn't have.
    """
    outputs = {
        name: (response.outputs[name], name.endswith("_bytes"))
        for name in sorted(response.outputs)
    }
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if by_row:
        return f'{{"predictions": {_rows_json(outputs)}}}'
    parts = {
        name: _nested(_texts(name, tensor, as_bytes), _dims(tensor))
        for name, (tensor, as_bytes) in outputs.items()
    }
    if len(parts) == 1:
        return f'{{"outputs": {next(iter(parts.values()))}}}'
    return f'{{"outputs": {_object(parts)}}}'


def classify_response_json(response: classification_pb2.ClassificationResponse) -> str:
    """Writes the classes of each example."""
    rows = (
        _array(
            f"[{json.dumps(entry.label, ensure_ascii=False)},"
            f" {_decimal(entry.score, np.float32)}]"
            for entry in row.classes
        )
        for row in response.result.classifications
    )
    return f'{{"results": {_array(rows)}}}'


def regress_response_json(response: regression_pb2.RegressionResponse) -> str:
    """Writes the value of each example."""
    values = (_decimal(r.value, np.float32) for r in response.result.regressions)
    return f'{{"results": {_array(values)}}}'


def _rows_json(outputs: Mapping[str, tuple[tensor_pb2.TensorProto, bool]]) -> str:
    size: int | None = None
    columns: dict[str, list[str]] = {}
    for name, (tensor, as_bytes) in outputs.items():
        dims = _dims(tensor)
        if not dims:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and dims[0] != size:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {dims[0]}"
                f" expecting: {size}"
            )
        size = dims[0]
        texts = _texts(name, tensor, as_bytes)
        width = len(texts) // size if size else 0
        columns[name] = [
            _nested(texts[row * width : (row + 1) * width], dims[1:])
            for row in range(size)
        ]
    if len(columns) == 1:
        return _array(next(iter(columns.values())))
    return _array(
        _object(dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    )


def _texts(name: str, tensor: tensor_pb2.TensorProto, as_bytes: bool) -> list[str]:
    """Returns the JSON text of each value."""
    values = to_array(name, tensor).ravel()
    kind = tensor.dtype
    if kind in (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16, *FLOATS):
        is_double = kind == types_pb2.DT_DOUBLE
        number = np.float64 if is_double else np.float32
        return [_decimal(v, number) for v in values.astype(number).tolist()]
    if kind in INTEGERS:
        return [str(value) for value in values.tolist()]
    if kind == types_pb2.DT_BOOL:
        return ["true" if value else "false" for value in values.tolist()]
    if kind == types_pb2.DT_STRING and as_bytes:
        return [f'{{"b64": "{base64.b64encode(v).decode()}"}}' for v in values]
    if kind == types_pb2.DT_STRING:
        return [
            json.dumps(v.decode(errors="replace"), ensure_ascii=False) for v in values
        ]
    raise invalid(f"Failed to write JSON value for tensor type: {dtype_name(kind)}")


def _decimal(value: float, number: type[np.float32] | type[np.float64]) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:g}"
    if number(text) != value:
        text = f"{value:.9g}" if number is np.float32 else f"{value:.17g}"
    return text if "." in text or "e" in text else text + ".0"


def _nested(texts: list[str], dims: tuple[int, ...]) -> str:
    if not dims:
        return texts[0]
    width = len(texts) // dims[0] if dims[0] else 0
    return _array(
        _nested(texts[position * width : (position + 1) * width], dims[1:])
        for position in range(dims[0])
    )


def _array(parts: Iterable[str]) -> str:
    return f"[{', '.join(parts)}]"


def _object(parts: Mapping[str, str]) -> str:
    members = (
        f"{json.dumps(name, ensure_ascii=False)}: {text}"
        for name, text in parts.items()
    )
    return f"{{{', '.join(members)}}}"


def _dims(tensor: tensor_pb2.TensorProto) -> tuple[int, ...]:
    return tuple(dim.size for dim in tensor.tensor_shape.dim)

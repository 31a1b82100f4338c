"""JSON of the REST API to requests, and responses to JSON, as TensorFlow Serving."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    input_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.errors import ServingError
from serving.tensors import to_array

Inputs = Mapping[str, meta_graph_pb2.TensorInfo]

#: Integer types: the field of TensorProto, and the range that JSON may have.
_INTEGERS: dict[int, tuple[str, int, int]] = {
    types_pb2.DT_INT8: ("int_val", -(2**31), 2**31 - 1),
    types_pb2.DT_INT16: ("int_val", -(2**31), 2**31 - 1),
    types_pb2.DT_INT32: ("int_val", -(2**31), 2**31 - 1),
    types_pb2.DT_UINT8: ("int_val", -(2**31), 2**31 - 1),
    types_pb2.DT_INT64: ("int64_val", -(2**63), 2**63 - 1),
    types_pb2.DT_UINT32: ("uint32_val", 0, 2**32 - 1),
    types_pb2.DT_UINT64: ("uint64_val", 0, 2**64 - 1),
}
#: Floating types: field, largest number, bits of the mantissa.
_FLOATS: dict[int, tuple[str, float, int]] = {
    types_pb2.DT_FLOAT: ("float_val", float(np.finfo(np.float32).max), 24),
    types_pb2.DT_DOUBLE: ("double_val", float(np.finfo(np.float64).max), 53),
}
#: Messages of Python's parser, in the words of TensorFlow Serving's.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object"
    " member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or bracket after an element.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Extra data": "The document root must not be followed by other values.",
}


def parse_json(body: bytes) -> dict[str, Any]:
    """Parses the body of a request.

    Args:
        body: JSON in UTF-8; NaN, Infinity and -Infinity are numbers.

    Raises:
        ServingError: INVALID_ARGUMENT, if it is no JSON object.
    """
    if not body:
        raise _invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _invalid(
            f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        ) from error
    except json.JSONDecodeError as error:
        problem = _PARSE_ERRORS.get(error.msg, error.msg)
        raise _invalid(f"JSON Parse error: {problem} at offset: {error.pos}") from error
    except (RecursionError, ValueError) as error:
        raise _invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise _wrong(document, "Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns the signature that a request asks for, empty for the default.

    Raises:
        ServingError: INVALID_ARGUMENT, if it is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _wrong(
            document,
            "not formatted correctly. 'signature_name' key must be a string value.",
        )
    return name


def fill_predict_request(
    document: Mapping[str, Any], inputs: Inputs, request: predict_pb2.PredictRequest
) -> bool:
    """Reads the tensors of a predict request.

    Args:
        document: The request, with `instances` (row form) or `inputs` (column form).
        inputs: The inputs of the signature.
        request: Gets the tensors.

    Returns:
        Whether it has the row form.

    Raises:
        ServingError: INVALID_ARGUMENT, for values that don't fit the signature.
    """
    if not inputs:
        name = request.model_spec.signature_name or "DEFAULT"
        raise _invalid(f"Failed to get input map for signature: {name}")
    if "instances" in document and "inputs" in document:
        raise _wrong(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances'"
            " keys to exist ",
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise _wrong(document, "Excepting 'instances' to be an list/array")
        if not rows:
            raise _wrong(document, "No values in 'instances' array")
        _fill_rows(rows, inputs, request)
        return True
    if "inputs" in document:
        _fill_columns(document["inputs"], inputs, request)
        return False
    raise _invalid("Missing 'inputs' or 'instances' key")


def fill_examples(
    document: Mapping[str, Any], method: str, examples: input_pb2.Input
) -> None:
    """Reads the examples of a classify or regress request.

    Args:
        document: The request, with `examples` and perhaps `context`.
        method: `classify` or `regress`, for messages.
        examples: Gets the examples.

    Raises:
        ServingError: INVALID_ARGUMENT, for values that an example can't have.
    """
    target = examples.example_list.examples
    if "context" in document:
        target = examples.example_list_with_context.examples
        examples.example_list_with_context.context.CopyFrom(
            _example(document["context"])
        )
    if "examples" not in document:
        raise _wrong(
            document,
            f"When method is {method}, key 'examples' is expected and was not found",
        )
    if not isinstance(document["examples"], list):
        raise _wrong(document, "Expecting 'examples' value to be an list/array")
    if not document["examples"]:
        raise _wrong(document, "'examples' value is an empty array")
    target.extend(_example(value) for value in document["examples"])


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
        raise _invalid("Cannot convert empty tensor map to JSON")
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


def _fill_rows(
    rows: list[Any], inputs: Inputs, request: predict_pb2.PredictRequest
) -> None:
    named = _is_named(rows[0])
    if not isinstance(rows[0], dict) and len(inputs) > 1:
        raise _invalid(
            "instances is a plain list, but expecting list of objects as multiple input"
            " tensors required as per tensorinfo_map"
        )
    only = next(iter(inputs))
    columns = {name: _Column(info.dtype) for name, info in inputs.items()}
    for number, row in enumerate(rows):
        if _is_named(row) != named:
            raise _invalid(
                f"Expecting object but got list at item {number} of input list"
                if named
                else f"Expecting value/list but got object at item {number} of input"
                " list"
            )
        for name, value in row.items() if named else [(only, row)]:
            where = f"Failed to process element: {number}"
            if named:
                where += f" key: {name}"
            try:
                if name not in columns:
                    raise _invalid(f"JSON object: does not have named input: {name}")
                columns[name].add(value)
            except ServingError as error:
                raise _invalid(
                    f"{where} of 'instances' list. Error: INVALID_ARGUMENT:"
                    f" {error.message}"
                ) from error
        if named and row.keys() != columns.keys():
            raise _invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object:"
                f" {_text(row)} keys must be equal to: {','.join(sorted(columns))}"
            )
    for name, column in columns.items():
        column.fill(request.inputs[name], (len(rows), *column.dims))


def _fill_columns(
    value: Any, inputs: Inputs, request: predict_pb2.PredictRequest
) -> None:
    if not _is_named(value):
        if len(inputs) > 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as multiple"
                " input tensors required as per tensorinfo_map"
            )
        value = {next(iter(inputs)): value}
    for name, info in sorted(inputs.items()):
        if name not in value:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
        column = _Column(info.dtype)
        column.add(value[name])
        column.fill(request.inputs[name], column.dims)


class _Column:
    """The values of one input, and the shape that each of its instances has."""

    def __init__(self, dtype: int) -> None:
        self.dims: tuple[int, ...] = ()
        self._dtype = dtype
        self._values: list[Any] = []
        self._size: int | None = None
        self._field, self._check = _checker(dtype)

    def add(self, value: Any) -> None:
        before = len(self._values)
        dims = tuple(_dense_dims(value))
        self._append(value, 0, dims)
        size = len(self._values) - before
        if self._size is None:
            self._size, self.dims = size, dims
        elif size != self._size:
            raise _invalid(f"Expecting tensor size: {self._size} but got: {size}")
        elif dims != self.dims:
            raise _invalid(
                f"Expecting shape {_shape(self.dims)} but got: {_shape(dims)}"
            )

    def fill(self, tensor: tensor_pb2.TensorProto, dims: tuple[int, ...]) -> None:
        tensor.dtype = self._dtype
        for size in dims:
            tensor.tensor_shape.dim.add(size=size)
        getattr(tensor, self._field).extend(self._values)

    def _append(self, value: Any, level: int, dims: tuple[int, ...]) -> None:
        if not isinstance(value, list):
            if level != len(dims):
                raise _invalid(
                    f"JSON Value: {_text(value)} found at incorrect level: {level + 1}"
                    f" in the JSON DOM. Expected at level: {len(dims)}"
                )
            self._values.append(self._check(value))
            return
        if level >= len(dims):
            raise _invalid(
                f"Encountered list at unexpected level: {level} expected < {len(dims)}"
            )
        if len(value) != dims[level]:
            raise _invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level}"
                f" expected size: {dims[level]}"
            )
        for part in value:
            self._append(part, level + 1, dims)


def _dense_dims(value: Any) -> Iterator[int]:
    while isinstance(value, list):
        yield len(value)
        value = value[0] if value else None


def _checker(dtype: int) -> tuple[str, Callable[[Any], Any]]:
    """Returns the field for values of a type, and what checks and converts one."""
    if dtype in _FLOATS:
        return _FLOATS[dtype][0], functools.partial(_check_float, dtype)
    if dtype in _INTEGERS:
        return _INTEGERS[dtype][0], functools.partial(_check_integer, dtype)
    if dtype == types_pb2.DT_STRING:
        return "string_val", _check_string
    if dtype == types_pb2.DT_BOOL:
        return "bool_val", _check_bool
    return "float_val", functools.partial(_refuse, dtype)


def _check_float(dtype: int, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(value, dtype)
    _, largest, bits = _FLOATS[dtype]
    if isinstance(value, int):
        lossless = abs(value) < 2**bits
    else:
        lossless = not math.isfinite(value) or abs(value) <= largest
    if not lossless:
        raise _invalid(
            f"Cannot convert JSON value: {_text(value)} to {_name(dtype)} without loss"
            " of precision."
        )
    return float(value)


def _check_integer(dtype: int, value: Any) -> int:
    _, least, most = _INTEGERS[dtype]
    if isinstance(value, bool) or not isinstance(value, int):
        raise _type_error(value, dtype)
    if not least <= value <= most:
        raise _type_error(value, dtype)
    return value


def _check_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _type_error(value, types_pb2.DT_BOOL)
    return value


def _refuse(dtype: int, value: Any) -> Any:
    raise ServingError(
        grpc.StatusCode.UNIMPLEMENTED,
        f"Conversion of JSON Value: {_text(value)} to type: {_name(dtype)}",
    )


def _check_string(value: Any) -> bytes:
    if isinstance(value, str):
        return _encoded(value)
    if not isinstance(value, dict):
        raise _type_error(value, types_pb2.DT_STRING)
    if not _is_base64(value):
        raise _wrong(value, "not formatted correctly for base64 data")
    return _decoded(value)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        # Half of a surrogate pair, which JSON can escape and UTF-8 can't hold.
        raise _invalid(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from error


def _is_base64(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"b64"}
        and isinstance(value["b64"], str)
    )


def _decoded(value: Mapping[str, str]) -> bytes:
    text = value["b64"]
    try:
        # Padding may be left out, as TensorFlow Serving's decoder allows.
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid("Unable to base64 decode") from error


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise _invalid(f"Example must be JSON object but got JSON {_type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        _encoded(name)
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add_to_feature(name, item, feature)
    return example


def _add_to_feature(name: str, value: Any, feature: feature_pb2.Feature) -> None:
    if isinstance(value, str):
        kind, value = "bytes_list", _encoded(value)
    elif _is_base64(value):
        kind, value = "bytes_list", _decoded(value)
    elif isinstance(value, float):
        kind, value = "float_list", _checker(types_pb2.DT_FLOAT)[1](value)
    elif isinstance(value, int):
        kind, value = "int64_list", int(value)
        if not -(2**63) <= value < 2**63:
            raise _invalid(
                f"Feature: {name} has uint64 element. Only int64 is supported."
            )
    else:
        raise _invalid(
            f"Feature: {name} has element with unexpected JSON type:"
            f" {_type_name(value)}"
        )
    found = feature.WhichOneof("kind")
    if found not in (None, kind):
        raise _invalid(
            f"Unexpected element type in feature: {name} expecting type:"
            f" {str(found).removesuffix('_list')}"
        )
    getattr(feature, kind).value.append(value)


def _rows_json(outputs: Mapping[str, tuple[tensor_pb2.TensorProto, bool]]) -> str:
    size: int | None = None
    columns: dict[str, list[str]] = {}
    for name, (tensor, as_bytes) in outputs.items():
        dims = _dims(tensor)
        if not dims:
            raise _invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and dims[0] != size:
            raise _invalid(
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
    if kind in (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16, *_FLOATS):
        is_double = kind == types_pb2.DT_DOUBLE
        number = np.float64 if is_double else np.float32
        return [_decimal(v, number) for v in values.astype(number).tolist()]
    if kind in _INTEGERS:
        return [str(value) for value in values.tolist()]
    if kind == types_pb2.DT_BOOL:
        return ["true" if value else "false" for value in values.tolist()]
    if kind == types_pb2.DT_STRING and as_bytes:
        return [f'{{"b64": "{base64.b64encode(v).decode()}"}}' for v in values]
    if kind == types_pb2.DT_STRING:
        return [
            json.dumps(v.decode(errors="replace"), ensure_ascii=False) for v in values
        ]
    raise _invalid(f"Failed to write JSON value for tensor type: {_name(kind)}")


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


def _array(parts: Any) -> str:
    return f"[{', '.join(parts)}]"


def _object(parts: Mapping[str, str]) -> str:
    members = (
        f"{json.dumps(name, ensure_ascii=False)}: {text}"
        for name, text in parts.items()
    )
    return f"{{{', '.join(members)}}}"


def _dims(tensor: tensor_pb2.TensorProto) -> tuple[int, ...]:
    return tuple(dim.size for dim in tensor.tensor_shape.dim)


def _shape(dims: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, dims))}]"


def _name(dtype: int) -> str:
    return (
        str(tf.as_dtype(dtype).name)
        .replace("float32", "float")
        .replace("float64", "double")
    )


def _text(value: Any) -> str:
    return json.dumps(value, indent=4, ensure_ascii=True)


def _type_name(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def _type_error(value: Any, dtype: int) -> ServingError:
    return _invalid(
        f"JSON Value: {_text(value)} Type: {_type_name(value)} is not of expected type:"
        f" {_name(dtype)}"
    )


def _wrong(value: Any, problem: str) -> ServingError:
    return _invalid(f"JSON Value: {_text(value)} {problem}")


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)

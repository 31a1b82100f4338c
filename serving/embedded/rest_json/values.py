"""Single values of JSON, checked for the type that a tensor has."""

from __future__ import annotations

import base64
import binascii
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2

from serving.embedded.rest_json.errors import dtype_name, json_text, type_error, wrong
from serving.errors import ServingError, invalid

#: Integer types: the field of TensorProto, and the range that JSON may have.
INTEGERS: dict[int, tuple[str, int, int]] = {
    types_pb2.DT_INT8: ("int_val", -(2**31), 2**31 - 1),
    types_pb2.DT_INT16: ("int_val", -(2**31), 2**31 - 1),
    types_pb2.DT_INT32: ("int_val", -(2**31), 2**31 - 1),
    types_pb2.DT_UINT8: ("int_val", -(2**31), 2**31 - 1),
    types_pb2.DT_INT64: ("int64_val", -(2**63), 2**63 - 1),
    types_pb2.DT_UINT32: ("uint32_val", 0, 2**32 - 1),
    types_pb2.DT_UINT64: ("uint64_val", 0, 2**64 - 1),
}
#: Floating types: field, largest number, bits of the mantissa.
FLOATS: dict[int, tuple[str, float, int]] = {
    types_pb2.DT_FLOAT: ("float_val", float(np.finfo(np.float32).max), 24),
    types_pb2.DT_DOUBLE: ("double_val", float(np.finfo(np.float64).max), 53),
}


def checker(dtype: int) -> tuple[str, Callable[[Any], Any]]:
    """Returns the field for values of a type, and what checks and converts one."""
    if dtype in FLOATS:
        return FLOATS[dtype][0], functools.partial(_check_float, dtype)
    if dtype in INTEGERS:
        return INTEGERS[dtype][0], functools.partial(_check_integer, dtype)
    if dtype == types_pb2.DT_STRING:
        return "string_val", _check_string
    if dtype == types_pb2.DT_BOOL:
        return "bool_val", _check_bool
    return "float_val", functools.partial(_refuse, dtype)


def encoded(text: str) -> bytes:
    """Returns a text in UTF-8.

    Raises:
        ServingError: INVALID_ARGUMENT, if it has half of a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        # Half of a surrogate pair, which JSON can escape and UTF-8 can't hold.
        raise invalid(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from error


def is_base64(value: Any) -> bool:
    """Whether a JSON value is of the form `{"b64": text}`."""
    return (
        isinstance(value, dict)
        and value.keys() == {"b64"}
        and isinstance(value["b64"], str)
    )


def decoded(value: Mapping[str, str]) -> bytes:
    """Returns the bytes of a value of that form.

    Raises:
        ServingError: INVALID_ARGUMENT, if it is no base64.
    """
    text = value["b64"]
    try:
        # Padding may be left out, as TensorFlow Serving's decoder allows.
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _check_float(dtype: int, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise type_error(value, dtype)
    _, largest, bits = FLOATS[dtype]
    if isinstance(value, int):
        lossless = abs(value) < 2**bits
    else:
        lossless = not math.isfinite(value) or abs(value) <= largest
    if not lossless:
        raise invalid(
            f"Cannot convert JSON value: {json_text(value)} to {dtype_name(dtype)}"
            " without loss of precision."
        )
    return float(value)


def _check_integer(dtype: int, value: Any) -> int:
    _, least, most = INTEGERS[dtype]
    if isinstance(value, bool) or not isinstance(value, int):
        raise type_error(value, dtype)
    if not least <= value <= most:
        raise type_error(value, dtype)
    return value


def _check_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise type_error(value, types_pb2.DT_BOOL)
    return value


def _check_string(value: Any) -> bytes:
    if isinstance(value, str):
        return encoded(value)
    if not isinstance(value, dict):
        raise type_error(value, types_pb2.DT_STRING)
    if not is_base64(value):
        raise wrong(value, "not formatted correctly for base64 data")
    return decoded(value)


def _refuse(dtype: int, value: Any) -> Any:
    raise ServingError(
        grpc.StatusCode.UNIMPLEMENTED,
        f"Conversion of JSON Value: {json_text(value)} to type: {dtype_name(dtype)}",
    )

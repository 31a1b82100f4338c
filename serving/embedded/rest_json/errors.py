"""Errors of REST requests, in the words of TensorFlow Serving."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf

from serving.embedded.errors import MESSAGE_LIMIT
from serving.errors import ServingError, invalid

# Names of Python's that C++ doesn't share.
_NAMES = {"float16": "half", "float32": "float", "float64": "double"}


def wrong(value: Any, problem: str) -> ServingError:
    """Returns the error of a JSON value that has a problem."""
    return invalid(f"JSON Value: {json_text(value)} {problem}")


def type_error(value: Any, dtype: int) -> ServingError:
    """Returns the error of a JSON value that is of another type than the tensor."""
    return invalid(
        f"JSON Value: {json_text(value)} Type: {type_name(value)} is not of expected"
        f" type: {dtype_name(dtype)}"
    )


def json_text(value: Any) -> str:
    """Returns a JSON value as messages show it, as far as they are sent."""
    text = ""
    # The whole of a large body would take many times its memory and seconds.
    for part in json.JSONEncoder(indent=4).iterencode(value):
        text += part
        if len(text) > MESSAGE_LIMIT:
            break
    return text


def type_name(value: Any) -> str:
    """Returns the name of a JSON value's type."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def dtype_name(dtype: int) -> str:
    """Returns the name that a tensor's type has in TensorFlow's C++."""
    name: str = tf.as_dtype(dtype).name
    return _NAMES.get(name, name)

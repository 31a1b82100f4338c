"""TensorProto to numpy and back, in the typed fields that TensorFlow Serving emits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.errors import invalid

# Field of each element type, as `Tensor::AsProtoField` in C++ fills it.
_FIELDS: dict[int, str] = {
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
}
#: Longest tensor in bytes, as of a message that has all of its values.
MAX_BYTES = 2**31 - 1
#: Longest one in bytes whose last value stands for all that its message leaves out: a
#: few bytes would ask for all memory, and keep other requests waiting.
MAX_REPEATED_BYTES = 2**24

# Values that a message gets at a time. Other threads run only in between.
_PIECE = 2**16
# What a string takes in a tensor, its text apart.
_STRING_BYTES = 24
# Element types that travel as other numbers: field and numpy type of those numbers.
_VIEWS: dict[int, tuple[str, Any]] = {
    types_pb2.DT_BFLOAT16: ("half_val", np.uint16),
    types_pb2.DT_HALF: ("half_val", np.uint16),
    types_pb2.DT_COMPLEX64: ("scomplex_val", np.float32),
    types_pb2.DT_COMPLEX128: ("dcomplex_val", np.float64),
}


def to_array(alias: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Decodes one input of a request.

    Args:
        alias: Name of the input in the signature, for the message.
        proto: The tensor, in typed fields or `tensor_content`.

    Returns:
        An array of the tensor's shape and type; strings are bytes in an object array.

    Raises:
        ServingError: INVALID_ARGUMENT, if shape, type and values don't fit together, or
            the tensor is longer than `MAX_BYTES`, or than `MAX_REPEATED_BYTES` with
            fewer values than its shape has.
    """
    if proto.tensor_shape.unknown_rank or any(
        dim.size < 0 for dim in proto.tensor_shape.dim
    ):
        problem: object = "its shape is not fully known"
    else:
        try:
            _check_size(proto)
            array: np.ndarray = (
                _strings_of_content(proto)
                if proto.dtype == types_pb2.DT_STRING and proto.tensor_content
                else tf.make_ndarray(proto)
            )
            return array
        except (KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
            problem = error
    raise invalid(f"tensor parsing error: {alias}: {problem}")


def _check_size(proto: tensor_pb2.TensorProto) -> None:
    dtype = tf.as_dtype(proto.dtype)
    # One of a type of references would be read as one of values.
    if dtype != dtype.base_dtype:
        raise TypeError(f"{types_pb2.DataType.Name(proto.dtype)} has no values")
    item = (
        _STRING_BYTES if dtype == tf.string else np.dtype(dtype.as_numpy_dtype).itemsize
    )
    count = math.prod(dim.size for dim in proto.tensor_shape.dim)
    if item * count > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, found {item * count}")
    if proto.tensor_content or _values_given(proto) >= count:
        return
    if proto.string_val:
        item += len(proto.string_val[-1])
    if item * count > MAX_REPEATED_BYTES:
        raise ValueError(
            f"expected at most {MAX_REPEATED_BYTES} bytes of a value that is repeated,"
            f" found {item * count}"
        )


def _values_given(proto: tensor_pb2.TensorProto) -> int:
    return sum(
        len(value) for field, value in proto.ListFields() if field.name.endswith("_val")
    )


def _strings_of_content(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Reads strings as `Tensor::AsProtoTensorContent` in C++ writes them."""
    shape = [dim.size for dim in proto.tensor_shape.dim]
    content = proto.tensor_content
    lengths, start = _read_lengths(content, math.prod(shape))
    if sum(lengths) != len(content) - start:
        raise ValueError(
            f"expected {sum(lengths)} bytes after the lengths of its strings, found"
            f" {len(content) - start}"
        )
    strings = []
    for length in lengths:
        strings.append(content[start : start + length])
        start += length
    return np.array(strings, object).reshape(shape)


def _read_lengths(content: bytes, count: int) -> tuple[list[int], int]:
    """Reads varints of 32 bits, and tells where they end."""
    lengths: list[int] = []
    length = shift = position = 0
    while len(lengths) < count:
        if position == len(content) or shift > 28:
            raise ValueError(
                f"expected the lengths of {count} strings, found {len(lengths)}"
            )
        byte = content[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            lengths.append(length)
            length = shift = 0
    return lengths, position


def to_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    """Encodes one output of a model.

    Args:
        array: Any shape; bytes in an object array for strings.

    Returns:
        The tensor with its values in the typed field of its type, never in
        `tensor_content` (except for types that have no field, such as float8).
    """
    array = np.asarray(array)
    dtype = tf.as_dtype(array.dtype).as_datatype_enum
    if dtype in _FIELDS:
        field, values = _FIELDS[dtype], array.ravel()
    elif dtype in _VIEWS:
        field, number = _VIEWS[dtype]
        values = array.ravel().view(number)
    else:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    for start in range(0, values.size, _PIECE):
        getattr(proto, field).extend(values[start : start + _PIECE].tolist())
    return proto

"""TensorProto to numpy and back."""

import tracemalloc

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.errors import ServingError
from serving.tensors import MAX_REPEATED_BYTES, to_array, to_proto


@pytest.mark.parametrize(
    ("array", "field"),
    [
        (np.array([[1.5, -2]], np.float32), "float_val"),
        (np.array([1.5], np.float64), "double_val"),
        (np.array([True, False]), "bool_val"),
        (np.array([-3], np.int8), "int_val"),
        (np.array([3], np.uint16), "int_val"),
        (np.array([-3], np.int32), "int_val"),
        (np.array([2**40], np.int64), "int64_val"),
        (np.array([2**32 - 1], np.uint32), "uint32_val"),
        (np.array([2**64 - 1], np.uint64), "uint64_val"),
        (np.array([b"a", b"\xff"], object), "string_val"),
        (np.array([1.5], np.float16), "half_val"),
        (np.array([1.5], tf.bfloat16.as_numpy_dtype), "half_val"),
        (np.array([1 + 2j], np.complex64), "scomplex_val"),
        (np.array([1 - 2j], np.complex128), "dcomplex_val"),
    ],
)
def test_arrays_travel_in_their_typed_field(array, field):
    proto = to_proto(array)

    assert not proto.tensor_content
    assert len(getattr(proto, field)) >= array.size
    back = to_array("x", proto)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_scalars_and_empty_tensors_keep_their_shape():
    assert to_array("x", to_proto(np.float32(2))).shape == ()
    assert to_array("x", to_proto(np.zeros((0, 3), np.float32))).shape == (0, 3)


def test_tensor_content_and_repeated_values_are_read():
    content = tf.make_tensor_proto([1.0, 2.0])
    content.ClearField("float_val")
    content.tensor_content = np.array([1, 2], np.float32).tobytes()
    np.testing.assert_array_equal(to_array("x", content), [1, 2])

    repeated = tf.make_tensor_proto(7.0, shape=[3])
    np.testing.assert_array_equal(to_array("x", repeated), [7, 7, 7])


def strings_of(content, *sizes):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_content=content)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("content", "sizes", "expected"),
    [
        (b"\x03\x02abcde", (2,), [b"abc", b"de"]),
        (b"\x03\x02abcde", (1, 2), [[b"abc", b"de"]]),
        (b"\x02ab", (), b"ab"),
        (b"\0\0", (2,), [b"", b""]),
        (b"\xac\x02" + b"a" * 300, (1,), [b"a" * 300]),
    ],
)
def test_strings_are_read_from_tensor_content(content, sizes, expected):
    strings = to_array("x", strings_of(content, *sizes))

    assert strings.dtype == object
    assert strings.shape == sizes
    assert strings.tolist() == expected


@pytest.mark.parametrize(
    ("content", "size", "problem"),
    [
        (b"\x03\x02abcd", 2, "expected 5 bytes after the lengths .*, found 4"),
        (b"\x03\x02abcdef", 2, "expected 5 bytes after the lengths .*, found 6"),
        (b"\x00", 0, "expected 0 bytes after the lengths .*, found 1"),
        (b"\x00", 2, "expected the lengths of 2 strings, found 1"),
        (b"\x00\x80", 2, "expected the lengths of 2 strings, found 1"),
        (b"\xff" * 1000, 1, "expected the lengths of 1 strings, found 0"),
    ],
)
def test_lengths_of_strings_that_do_not_add_up_are_invalid(content, size, problem):
    with pytest.raises(ServingError, match=problem) as caught:
        to_array("x", strings_of(content, size))
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def broken(**changes):
    proto = tf.make_tensor_proto([1.0, 2.0])
    if "size" in changes:
        proto.tensor_shape.dim[0].size = changes["size"]
    if "content" in changes:
        proto.tensor_content = changes["content"]
    proto.tensor_shape.unknown_rank = changes.get("unknown_rank", False)
    proto.dtype = changes.get("dtype", proto.dtype)
    return proto


@pytest.mark.parametrize(
    "changes",
    [
        {"size": -1},
        {"size": 1},
        {"size": 3, "content": b"\0" * 8},
        {"content": b"abc"},
        {"unknown_rank": True},
        {"dtype": 0},
        {"dtype": 20},
    ],
)
def test_what_does_not_fit_together_is_invalid(changes):
    with pytest.raises(ServingError, match="tensor parsing error: x: ") as caught:
        to_array("x", broken(**changes))
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_value_that_is_repeated_makes_no_tensor_of_all_memory():
    most = tf.make_tensor_proto(7.0, shape=[MAX_REPEATED_BYTES // 4])
    assert to_array("x", most).size == MAX_REPEATED_BYTES // 4

    for proto, size in (
        (tf.make_tensor_proto(7.0, shape=[2**27]), 2**29),
        (tf.make_tensor_proto(b"a" * 1000, shape=[2**20]), 1024 * 2**20),
    ):
        message = f"expected at most {2**24} bytes of a value that is repeated, found"
        with pytest.raises(ServingError, match=f"{message} {size}$"):
            to_array("x", proto)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.complex64, object])
def test_a_tensor_with_all_of_its_values_may_be_longer(monkeypatch, dtype):
    monkeypatch.setattr("serving.tensors.MAX_REPEATED_BYTES", 8)

    assert to_array("x", to_proto(np.array([b"12"] * 9, dtype))).size == 9
    content = tf.make_tensor_proto([1.0] * 9)
    assert content.tensor_content
    assert to_array("x", content).size == 9


def test_no_list_of_all_values_is_made():
    array = np.arange(2**18, dtype=np.float32)

    tracemalloc.start()
    proto = to_proto(array)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    np.testing.assert_array_equal(proto.float_val, array)
    # Of all values, it would have 8 MiB.
    assert peak < 4 * 2**20

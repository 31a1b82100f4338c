"""Rows out of serialized examples."""

from __future__ import annotations

import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError

from transform.batches import example_values


def example(**features):
    kinds = {
        bytes: lambda values: {"bytes_list": tf.train.BytesList(value=values)},
        float: lambda values: {"float_list": tf.train.FloatList(value=values)},
    }
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(**kinds[type(values[0])](values))
                if values
                else tf.train.Feature()
                for name, values in features.items()
            }
        )
    ).SerializeToString()


def test_a_row_has_values_and_lists():
    record = example(
        city=["größe".encode()], odd=[b"\xff"], empty=[], age=[1.5], tags=[b"x"]
    )
    assert example_values(record, ["tags", "labels"]) == {
        "city": "größe",
        "odd": b"\xff",
        "empty": "",
        "age": 1.5,
        "tags": ["x"],
        "labels": [],
    }


def test_several_values_are_a_list():
    assert example_values(example(age=[1.0, 2.0]), [])["age"] == [1.0, 2.0]


def test_what_is_no_example():
    with pytest.raises(DecodeError):
        example_values(b"no example", [])

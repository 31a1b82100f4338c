"""The methods' messages."""

import pytest
import tensorflow as tf
from tensorflow_serving.apis import input_pb2, prediction_log_pb2

from serving.methods import METHODS, serialized_examples


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_a_log_has_a_place_for_both_messages(method):
    log = getattr(prediction_log_pb2.PredictionLog(), method.log)

    assert isinstance(log.request, method.request)
    assert isinstance(log.response, method.response)


def example(**numbers):
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
        for name, number in numbers.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (None, [{"a": 1}, {"b": 2}]),
        ({"a": 8, "c": 9}, [{"a": 1, "c": 9}, {"a": 8, "b": 2, "c": 9}]),
    ],
)
def test_examples_have_the_features_of_their_context(context, expected):
    examples = [example(a=1), example(b=2)]
    if context is None:
        request = input_pb2.Input(example_list={"examples": examples})
    else:
        merged = {"examples": examples, "context": example(**context)}
        request = input_pb2.Input(example_list_with_context=merged)

    found = map(tf.train.Example.FromString, serialized_examples(request))

    assert list(found) == [example(**numbers) for numbers in expected]

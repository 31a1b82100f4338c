"""Tensors read from JSON, apart from a server."""

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.embedded.rest_json.tensors import fill_predict_request


def test_binary_values_are_for_the_first_input_alone():
    string = meta_graph_pb2.TensorInfo(dtype=tf.string.as_datatype_enum)
    request = predict_pb2.PredictRequest()

    fill_predict_request(
        {"instances": [{"b64": "YWJj"}]}, {"a": string, "b": string}, request
    )

    # A tensor without values would be taken for one of empty texts.
    assert {name: list(t.string_val) for name, t in request.inputs.items()} == {
        "a": [b"abc"]
    }

"""JSON of the REST API to requests, and responses to JSON, as TensorFlow Serving."""

from serving.embedded.rest_json.document import parse_json, signature_name
from serving.embedded.rest_json.examples import fill_examples
from serving.embedded.rest_json.responses import (
    classify_response_json,
    predict_response_json,
    regress_response_json,
)
from serving.embedded.rest_json.tensors import fill_predict_request

__all__ = [
    "classify_response_json",
    "fill_examples",
    "fill_predict_request",
    "parse_json",
    "predict_response_json",
    "regress_response_json",
    "signature_name",
]

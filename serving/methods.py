"""The methods that run a model: what they take and give, and where logs keep them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    predict_pb2,
    regression_pb2,
)

MethodName = Literal["Predict", "Classify", "Regress", "MultiInference"]


class Method(NamedTuple):
    """A method of the PredictionService.

    Attributes:
        request: Type of its request.
        response: Type of its response.
        log: The field of PredictionLog for both.
    """

    request: Any
    response: Any
    log: str


METHODS: dict[MethodName, Method] = {
    "Predict": Method(
        predict_pb2.PredictRequest, predict_pb2.PredictResponse, "predict_log"
    ),
    "Classify": Method(
        classification_pb2.ClassificationRequest,
        classification_pb2.ClassificationResponse,
        "classify_log",
    ),
    "Regress": Method(
        regression_pb2.RegressionRequest,
        regression_pb2.RegressionResponse,
        "regress_log",
    ),
    "MultiInference": Method(
        inference_pb2.MultiInferenceRequest,
        inference_pb2.MultiInferenceResponse,
        "multi_inference_log",
    ),
}


def serialized_examples(examples: input_pb2.Input) -> list[bytes]:
    """Returns a request's examples, serialized, each with the context merged in."""
    if examples.WhichOneof("kind") == "example_list_with_context":
        # Serialized messages one after the other merge: an example's feature
        # replaces the context's of the same name.
        context = examples.example_list_with_context.context.SerializeToString()
        messages = examples.example_list_with_context.examples
        return [context + message.SerializeToString() for message in messages]
    return [message.SerializeToString() for message in examples.example_list.examples]

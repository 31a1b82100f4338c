"""Signatures and outputs of models, as Classify, Regress and MultiInference take them.

Models of any outputs are stood in for by their arrays.
"""

import grpc
import numpy as np
import pytest
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    regression_pb2,
)

from serving.embedded.inference import infer, multi_inference
from serving.errors import ServingError
from serving.signatures import CLASSIFY, REGRESS

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

REQUESTS = {
    CLASSIFY: classification_pb2.ClassificationRequest,
    REGRESS: regression_pb2.RegressionRequest,
}
LABELS = np.array([[b"low", b"high"]] * 2, object)
SCORES = np.array([[1, -1], [2, -2]], np.float32)


class Arrays:
    """An executor that answers with the arrays of the tensors' names."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.timeout = None

    def run(self, feeds, fetches, arrays, timeout=None):
        self.timeout = timeout
        return [self.arrays[name] for name in fetches]


def signature(method, outputs, inputs=("inputs",), fed="examples:0"):
    made = meta_graph_pb2.SignatureDef(method_name=method)
    for alias in inputs:
        made.inputs[alias].name = fed
    for alias in outputs:
        made.outputs[alias].name = f"{alias}:0"
    return made


def ask(method, outputs, inputs=("inputs",)):
    """The result for two examples of a signature with these outputs."""
    signatures = {"serving_default": signature(method, outputs, inputs)}
    executor = Arrays({f"{alias}:0": array for alias, array in outputs.items()})
    request = REQUESTS[method]()
    for _ in range(2):
        request.input.example_list.examples.add()
    return infer(method, signatures, executor, request).result


def classes(**outputs):
    return [
        [(entry.label, entry.score) for entry in row.classes]
        for row in ask(CLASSIFY, outputs).classifications
    ]


def test_classes_or_scores_may_be_missing():
    assert classes(classes=LABELS) == [[("low", 0), ("high", 0)]] * 2
    assert classes(scores=SCORES) == [[("", 1), ("", -1)], [("", 2), ("", -2)]]


def test_a_class_that_is_no_text_is_answered_all_the_same():
    labels = np.array([[b"\xff"], [b"b"]], object)

    assert classes(classes=labels) == [[("\ufffd", 0)], [("b", 0)]]


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_values_may_be_a_column(shape):
    values = np.array([1, 2], np.float32).reshape(shape)

    result = ask(REGRESS, {"outputs": values})

    assert [regression.value for regression in result.regressions] == [1, 2]


@pytest.mark.parametrize(
    ("method", "outputs", "message"),
    [
        (
            CLASSIFY,
            {"classes": LABELS[0]},
            "Expected Tensor shape: [batch_size num_classes] but got [2]",
        ),
        (
            CLASSIFY,
            {"classes": SCORES},
            "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
        ),
        (
            CLASSIFY,
            {"scores": SCORES.astype(np.float64)},
            "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
        ),
        (
            CLASSIFY,
            {"classes": LABELS, "scores": SCORES[:1]},
            "Expected scores output batch size of 2. Got: 1",
        ),
        (
            CLASSIFY,
            {"classes": LABELS, "scores": SCORES[:, :1]},
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
        (
            REGRESS,
            {"outputs": SCORES},
            "Expected output Tensor shape to be either [batch_size] or"
            " [batch_size, 1] but got [2,2]",
        ),
        (
            REGRESS,
            {"outputs": SCORES[0, :1]},
            "Input batch size did not match output batch size: 2 vs. 1",
        ),
        (
            REGRESS,
            {"outputs": np.array([1, 2])},
            "Expected output Tensor of DT_FLOAT. Got: DT_INT64",
        ),
    ],
)
def test_outputs_that_fit_no_result(method, outputs, message):
    with pytest.raises(ServingError) as caught:
        ask(method, outputs)
    assert (caught.value.code, caught.value.message) == (INVALID, message)


@pytest.mark.parametrize(
    ("method", "outputs", "inputs", "code", "message"),
    [
        (CLASSIFY, ["q"], ["inputs", "more"], INVALID, "Expected one input Tensor."),
        (CLASSIFY, ["scores"], ["x"], PRECONDITION, "No classification inputs found"),
        (
            CLASSIFY,
            ["classes", "scores", "q"],
            ["inputs"],
            INVALID,
            "Expected one or two output Tensors, found 3",
        ),
        (
            CLASSIFY,
            ["q"],
            ["inputs"],
            PRECONDITION,
            "Expected classification signature outputs to contain at least one of",
        ),
        (
            REGRESS,
            ["outputs", "q"],
            ["inputs"],
            INVALID,
            "Expected one output Tensor.",
        ),
        (REGRESS, ["q"], ["inputs"], PRECONDITION, "No regression outputs found"),
    ],
)
def test_signatures_that_fit_no_method(method, outputs, inputs, code, message):
    with pytest.raises(ServingError) as caught:
        ask(method, dict.fromkeys(outputs, SCORES), inputs)
    assert caught.value.code is code
    assert caught.value.message.startswith(message)


def multi(*tasks):
    request = inference_pb2.MultiInferenceRequest()
    request.input.example_list.examples.add()
    for method, model, name in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = model
        task.model_spec.signature_name = name
    return request


VALUE = {"outputs:0": np.array([1.5], np.float32)}


def test_a_task_without_a_signature_runs_the_default_one():
    signatures = {"serving_default": signature(REGRESS, ["outputs"])}

    (result,) = multi_inference(
        signatures, Arrays(VALUE), multi((REGRESS, "m", ""))
    ).results

    assert result.model_spec.signature_name == "serving_default"
    assert result.regression_result.regressions[0].value == 1.5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "Found ModelSpec with an empty model name."),
        (
            "other",
            "All ModelSpecs in a MultiInferenceRequest must access the same model"
            " name.",
        ),
    ],
)
def test_all_tasks_are_of_one_model(name, message):
    signatures = {name: signature(REGRESS, ["outputs"]) for name in ("a", "b")}
    request = multi((REGRESS, "m", "a"), (REGRESS, name, "b"))

    with pytest.raises(ServingError) as caught:
        multi_inference(signatures, Arrays(VALUE), request)
    assert (caught.value.code, caught.value.message) == (INVALID, message)


def test_a_request_has_tasks():
    with pytest.raises(ServingError, match="INVALID_ARGUMENT: Expected at least one"):
        multi_inference({}, Arrays({}), multi())


def test_all_tasks_take_the_same_tensor():
    signatures = {
        name: signature(REGRESS, ["outputs"], fed=f"{name}:0") for name in ("a", "b")
    }

    with pytest.raises(ServingError, match="must be the same for all Signatures"):
        multi_inference(
            signatures, Arrays(VALUE), multi((REGRESS, "m", "a"), (REGRESS, "m", "b"))
        )


def test_a_run_has_the_time_of_its_request():
    signatures = {"r": signature(REGRESS, ["outputs"])}
    one = regression_pb2.RegressionRequest()
    one.model_spec.signature_name = "r"
    one.input.example_list.examples.add()
    executor = Arrays(VALUE)

    infer(REGRESS, signatures, executor, one, 3.0)
    assert executor.timeout == 3.0
    multi_inference(signatures, executor, multi((REGRESS, "m", "r")), 4.0)
    assert executor.timeout == 4.0

"""Classify, Regress and MultiInference, as TensorFlow Serving validates them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from serving.embedded.execution import Executor
from serving.errors import ServingError, invalid
from serving.methods import serialized_examples
from serving.signatures import CLASSIFY, DEFAULT_SIGNATURE, REGRESS

Signatures = Mapping[str, meta_graph_pb2.SignatureDef]


def infer(
    method: str,
    signatures: Signatures,
    executor: Executor,
    request: Any,
    timeout: float | None = None,
) -> Any:
    """Runs a signature of the method classify or regress on examples.

    Args:
        method: `CLASSIFY` or `REGRESS`.
        signatures: The model's signatures by name.
        executor: Runs its graph.
        request: The examples: a ClassificationRequest or RegressionRequest.
        timeout: Seconds that it may take, `None` for no limit.

    Returns:
        A ClassificationResponse, for each example its classes, or a
        RegressionResponse, for each its value; of `model_spec` only `signature_name`.

    Raises:
        ServingError: INVALID_ARGUMENT for a signature that is unknown or of another
            method, or for no examples, and the runtime's own codes.
    """
    kind = _METHODS[method]
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise invalid(f"No signature was found with the name: {name}")
    feed, fetches = kind.tensors(signatures[name])
    outputs, rows = _run(executor, request.input, feed, fetches, timeout)
    response = kind.response()
    response.model_spec.signature_name = name
    kind.fill(signatures[name], outputs, rows, response.result)
    return response


def multi_inference(
    signatures: Signatures,
    executor: Executor,
    request: inference_pb2.MultiInferenceRequest,
    timeout: float | None = None,
) -> inference_pb2.MultiInferenceResponse:
    """Runs several signatures of one model on the same examples, in one run.

    Args:
        signatures: The model's signatures by name.
        executor: Runs its graph.
        request: The examples and the tasks, each a signature and its method.
        timeout: Seconds that it may take, `None` for no limit.

    Returns:
        A result for each task; of `model_spec` only `signature_name`.

    Raises:
        ServingError: INVALID_ARGUMENT for no tasks, tasks of several models, or twice
            of one signature, UNIMPLEMENTED for another method, else as `infer`.
    """
    methods = _methods(signatures, request.tasks)
    feeds: set[str] = set()
    fetches: set[str] = set()
    for name, method in methods.items():
        feed, names = _METHODS[method].tensors(signatures[name])
        feeds.add(feed)
        fetches.update(names)
    if len(feeds) > 1:
        raise invalid("Input tensor must be the same for all Signatures.")
    outputs, rows = _run(
        executor, request.input, feeds.pop(), tuple(sorted(fetches)), timeout
    )
    response = inference_pb2.MultiInferenceResponse()
    for name, method in methods.items():
        result = response.results.add()
        result.model_spec.signature_name = name
        kind = _METHODS[method]
        target = getattr(result, f"{kind.name}_result")
        kind.fill(signatures[name], outputs, rows, target)
    return response


def _methods(signatures: Signatures, tasks: Sequence[Any]) -> dict[str, str]:
    """Returns the method of each signature that the tasks ask for."""
    if not tasks:
        raise invalid("Expected at least one task, found none.")
    methods: dict[str, str] = {}
    for task in tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model"
                " name."
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in methods:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        if name not in signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name not in (CLASSIFY, REGRESS):
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"Unsupported signature method_name: {task.method_name}",
            )
        methods[name] = task.method_name
    return methods


def _classify_tensors(
    signature: meta_graph_pb2.SignatureDef,
) -> tuple[str, tuple[str, ...]]:
    """Returns the tensor to feed, and those of classes and scores that there are."""
    feed = _input_tensor(signature, CLASSIFY, "classification")
    if len(signature.outputs) not in (1, 2):
        raise invalid(
            f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    fetches = tuple(
        signature.outputs[alias].name
        for alias in ("classes", "scores")
        if alias in signature.outputs
    )
    if not fetches:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Expected classification signature outputs to contain at least one of"
            f' "classes" or "scores". Signature was: {_text(signature)}',
        )
    return feed, fetches


def _regress_tensors(
    signature: meta_graph_pb2.SignatureDef,
) -> tuple[str, tuple[str, ...]]:
    feed = _input_tensor(signature, REGRESS, "regression")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "outputs" not in signature.outputs:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"No regression outputs found in SignatureDef: {_text(signature)}",
        )
    return feed, (signature.outputs["outputs"].name,)


def _input_tensor(
    signature: meta_graph_pb2.SignatureDef, method: str, kind: str
) -> str:
    if signature.method_name != method:
        raise invalid(
            f"Expected {kind} signature method_name to be {method}. Was:"
            f" {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if "inputs" not in signature.inputs:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"No {kind} inputs found in SignatureDef: {_text(signature)}",
        )
    name: str = signature.inputs["inputs"].name
    return name


def _run(
    executor: Executor,
    examples: input_pb2.Input,
    feed: str,
    fetches: tuple[str, ...],
    timeout: float | None,
) -> tuple[dict[str, np.ndarray], int]:
    """Returns the outputs by tensor, and the number of examples."""
    rows = serialized_examples(examples)
    if not rows:
        raise invalid("Input is empty.")
    outputs = executor.run((feed,), fetches, [np.array(rows, object)], timeout)
    return dict(zip(fetches, outputs, strict=True)), len(rows)


def _fill_classes(
    signature: meta_graph_pb2.SignatureDef,
    outputs: Mapping[str, np.ndarray],
    rows: int,
    result: classification_pb2.ClassificationResult,
) -> None:
    columns: dict[str, np.ndarray] = {}
    for alias, dtype in (
        ("classes", types_pb2.DT_STRING),
        ("scores", types_pb2.DT_FLOAT),
    ):
        if alias not in signature.outputs:
            continue
        array = outputs[signature.outputs[alias].name]
        if array.ndim != 2:
            raise invalid(
                "Expected Tensor shape: [batch_size num_classes] but got"
                f" {_shape(array)}"
            )
        _check_type(array, dtype, f"{alias} Tensor")
        if len(array) != rows:
            raise invalid(
                f"Expected {alias} output batch size of {rows}. Got: {len(array)}"
            )
        columns[alias] = array
    widths = {alias: array.shape[1] for alias, array in columns.items()}
    if len(set(widths.values())) > 1:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got"
            f" {widths['classes']} vs. {widths['scores']}"
        )
    for row in range(rows):
        classes = result.classifications.add().classes
        for position in range(max(widths.values())):
            entry = classes.add()
            if "classes" in columns:
                label = columns["classes"][row, position]
                entry.label = label.decode(errors="replace")
            if "scores" in columns:
                entry.score = columns["scores"][row, position]


def _fill_values(
    signature: meta_graph_pb2.SignatureDef,
    outputs: Mapping[str, np.ndarray],
    rows: int,
    result: regression_pb2.RegressionResult,
) -> None:
    array = outputs[signature.outputs["outputs"].name]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1]"
            f" but got {_shape(array)}"
        )
    if len(array) != rows:
        raise invalid(
            f"Input batch size did not match output batch size: {rows} vs. {len(array)}"
        )
    _check_type(array, types_pb2.DT_FLOAT, "output Tensor")
    for value in array.ravel().tolist():
        result.regressions.add(value=value)


@dataclasses.dataclass(frozen=True)
class _Method:
    """What a method does with a signature.

    Attributes:
        name: In messages and fields.
        response: Type of its response.
        tensors: Gives the tensor to feed and those to fetch.
        fill: Fills a result from the fetched tensors of a number of examples.
    """

    name: str
    response: Any
    tensors: Callable[
        [meta_graph_pb2.SignatureDef],
        tuple[str, tuple[str, ...]],
    ]
    fill: Callable[
        [meta_graph_pb2.SignatureDef, Mapping[str, np.ndarray], int, Any], None
    ]


_METHODS = {
    CLASSIFY: _Method(
        "classification",
        classification_pb2.ClassificationResponse,
        _classify_tensors,
        _fill_classes,
    ),
    REGRESS: _Method(
        "regression",
        regression_pb2.RegressionResponse,
        _regress_tensors,
        _fill_values,
    ),
}


def _check_type(array: np.ndarray, dtype: int, what: str) -> None:
    found = tf.as_dtype(array.dtype).as_datatype_enum
    if found != dtype:
        name = types_pb2.DataType.Name
        raise invalid(f"Expected {what} of {name(dtype)}. Got: {name(found)}")


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _text(signature: meta_graph_pb2.SignatureDef) -> str:
    return str(text_format.MessageToString(signature, as_one_line=True))

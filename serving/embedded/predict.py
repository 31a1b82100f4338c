"""Predict as TensorFlow Serving validates and runs it, over one loaded SavedModel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.embedded.execution import Executor
from serving.errors import ServingError, invalid
from serving.signatures import DEFAULT_SIGNATURE
from serving.tensors import to_array, to_proto


def predict(
    signatures: Mapping[str, meta_graph_pb2.SignatureDef],
    executor: Executor,
    request: predict_pb2.PredictRequest,
    timeout: float | None = None,
) -> predict_pb2.PredictResponse:
    """Runs one request.

    Args:
        signatures: The model's signatures by name.
        executor: Runs its graph.
        request: Its `model_spec.signature_name` selects the signature (default
            `serving_default`) and its `output_filter` the outputs (default all).
        timeout: Seconds that it may take, `None` for no limit.

    Returns:
        The outputs by alias; `model_spec` is left to the caller, except for
        `signature_name`.

    Raises:
        ServingError: FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for
            inputs or outputs that don't fit the signature, and the runtime's own code
            for what fails in the graph.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'Serving signature key "{name}" not found.',
        )
    signature = signatures[name]
    arrays = _input_arrays(signature, request)
    aliases = _output_aliases(signature, request.output_filter)
    feeds = tuple(signature.inputs[alias].name for alias in sorted(signature.inputs))
    tensors = [signature.outputs[alias].name for alias in aliases]
    # Two aliases may name one tensor, which may be fetched only once.
    fetches = tuple(dict.fromkeys(tensors))
    outputs = dict(
        zip(fetches, executor.run(feeds, fetches, arrays, timeout), strict=True)
    )

    response = predict_pb2.PredictResponse()
    response.model_spec.signature_name = name
    for alias, tensor in zip(aliases, tensors, strict=True):
        response.outputs[alias].CopyFrom(to_proto(outputs[tensor]))
    return response


def _input_arrays(
    signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest
) -> list[np.ndarray]:
    """Returns the inputs in the order of their sorted aliases."""
    sent, wanted = set(request.inputs), set(signature.inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)}"
            f" len({{{_joined(sent)}}}) != len({{{_joined(wanted)}}})."
            f" Sent extra: {{{_joined(sent - wanted)}}}."
            f" Missing but required: {{{_joined(wanted - sent)}}}."
        )
    arrays = []
    for alias in sorted(wanted):
        if alias in request.inputs:
            proto = request.inputs[alias]
        elif alias in signature.defaults:
            proto = signature.defaults[alias]
        else:
            raise invalid(
                f"Signature input alias: {alias}"
                f"(feed name: {signature.inputs[alias].name}) not found in request and"
                " no default value provided. Inputs expected to be in the request"
                f" {{{_joined(sent)}}}, or default input alias set:"
                f" {_joined(signature.defaults)}"
            )
        arrays.append(to_array(alias, proto))
    if sent - wanted:
        raise invalid(
            "Inputs contains invalid name. Used request inputs:"
            f" {_joined(sent & wanted)}, request input: {_joined(sent)}"
        )
    return arrays


def _output_aliases(
    signature: meta_graph_pb2.SignatureDef, output_filter: Iterable[str]
) -> tuple[str, ...]:
    """Returns the sorted aliases to fetch: those of the filter, or else all."""
    chosen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected"
                f" to be in the set {{{_joined(signature.outputs)}}}."
            )
        if alias in chosen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        chosen.add(alias)
    return tuple(sorted(chosen or signature.outputs))


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(names))

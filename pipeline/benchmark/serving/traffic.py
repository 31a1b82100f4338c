"""Requests made beforehand: one scenario's context, and many candidates, in each."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

from midpg_tf.spec import ExampleEncoder
from pipeline.benchmark.serving.generator import ProtocolName
from pipeline.benchmark.serving.models import SHARED, made_up_rows, made_up_spec
from serving.signatures import DEFAULT_SIGNATURE, EXAMPLES

MODEL = "benchmark"
"""The name of each server's only model."""

_POOL = 16


class Traffic(NamedTuple):
    """The same requests for every way to send them.

    Attributes:
        examples: Serialized tf.Examples, by request.
        payloads: Bodies, by protocol and request.
    """

    examples: list[list[bytes]]
    payloads: dict[ProtocolName, list[bytes]]


def make_traffic(scenarios: int, candidates: int) -> Traffic:
    """Makes a pool of different requests, of the scenarios in turn.

    Args:
        scenarios: Number of scenarios.
        candidates: Rows in a request.
    """
    encoder = ExampleEncoder(made_up_spec())
    rng = np.random.default_rng(candidates)
    examples = []
    for number in range(_POOL):
        rows = made_up_rows(candidates, scenarios, rng)
        context = {name: rows[0][name] for name in SHARED}
        context["scenario"] = f"scenario-{number % scenarios}"
        examples.append(
            [encoder.encode({**row, **context}).SerializeToString() for row in rows]
        )
    return Traffic(
        examples,
        {"grpc": list(map(_grpc, examples)), "rest": list(map(_rest, examples))},
    )


def _grpc(examples: list[bytes]) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL
    request.model_spec.signature_name = DEFAULT_SIGNATURE
    tensor = request.inputs[EXAMPLES]
    tensor.dtype = types_pb2.DT_STRING
    tensor.tensor_shape.dim.add(size=len(examples))
    tensor.string_val.extend(examples)
    payload: bytes = request.SerializeToString()
    return payload


def _rest(examples: list[bytes]) -> bytes:
    instances = [{"b64": base64.b64encode(one).decode()} for one in examples]
    request = {"signature_name": DEFAULT_SIGNATURE, "instances": instances}
    return json.dumps(request).encode()

"""The examples of a classify or regress request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import input_pb2

from serving.embedded.rest_json.errors import type_name, wrong
from serving.embedded.rest_json.values import checker, decoded, encoded, is_base64
from serving.errors import invalid


def fill_examples(
    document: Mapping[str, Any], method: str, examples: input_pb2.Input
) -> None:
    """Reads the examples of a classify or regress request.

    Args:
        document: The request, with `examples` and perhaps `context`.
        method: `classify` or `regress`, for messages.
        examples: Gets the examples.

    Raises:
        ServingError: INVALID_ARGUMENT, for values that an example can't have.
    """
    target = examples.example_list.examples
    if "context" in document:
        target = examples.example_list_with_context.examples
        examples.example_list_with_context.context.CopyFrom(
            _example(document["context"])
        )
    if "examples" not in document:
        raise wrong(
            document,
            f"When method is {method}, key 'examples' is expected and was not found",
        )
    if not isinstance(document["examples"], list):
        raise wrong(document, "Expecting 'examples' value to be an list/array")
    if not document["examples"]:
        raise wrong(document, "'examples' value is an empty array")
    target.extend(_example(value) for value in document["examples"])


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        encoded(name)
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add_to_feature(name, item, feature)
    return example


def _add_to_feature(name: str, value: Any, feature: feature_pb2.Feature) -> None:
    if isinstance(value, str):
        kind, value = "bytes_list", encoded(value)
    elif is_base64(value):
        kind, value = "bytes_list", decoded(value)
    elif isinstance(value, float):
        kind, value = "float_list", checker(types_pb2.DT_FLOAT)[1](value)
    elif isinstance(value, int):
        kind, value = "int64_list", int(value)
        if not -(2**63) <= value < 2**63:
            raise invalid(
                f"Feature: {name} has uint64 element. Only int64 is supported."
            )
    else:
        raise invalid(
            f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
        )
    found = feature.WhichOneof("kind")
    if found not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type:"
            f" {str(found).removesuffix('_list')}"
        )
    getattr(feature, kind).value.append(value)

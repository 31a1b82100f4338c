"""The REST API of TensorFlow Serving: paths and methods to requests and back."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from serving.embedded import rest_json
from serving.embedded.errors import as_serving_error, clip
from serving.embedded.handler import RequestHandler
from serving.embedded.servable import Servable
from serving.errors import ServingError, invalid
from serving.methods import METHODS, MethodName
from serving.signatures import DEFAULT_SIGNATURE, SIGNATURE_DEF, signatures_in

_MODEL = (
    r"/v1/models(?:/(?P<name>[^/:]+))%s"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
_PREDICTION = re.compile(
    _MODEL % "" + r":(?P<method>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_STATUS = re.compile(
    _MODEL % "?" + r"(?P<metadata>/metadata)?", re.IGNORECASE | re.ASCII
)

# Methods that take examples, by their word in paths; and what writes their responses.
_OF_EXAMPLES: dict[str, tuple[MethodName, Callable[[Any], str]]] = {
    "classify": ("Classify", rest_json.classify_response_json),
    "regress": ("Regress", rest_json.regress_response_json),
}

#: HTTP status of each gRPC code.
HTTP_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What goes back to the client.

    Attributes:
        status: HTTP status.
        body: JSON.
    """

    status: int
    body: str


def error_answer(error: ServingError) -> Answer:
    """Returns the answer that tells of an error."""
    body = json.dumps({"error": clip(error.message)}, indent=4)
    return Answer(HTTP_STATUS[error.code], body)


class RestApi:
    """Answers the paths below `/v1/`.

    Args:
        handler: Answers a request.
        timeout: Seconds that a request may take, `None` for no limit.

    Attributes:
        timeout: The same.
    """

    def __init__(self, handler: RequestHandler, timeout: float | None) -> None:
        self.timeout = timeout
        self._handler = handler

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answers a request.

        Args:
            method: Such as `GET`.
            path: As it was sent, without the query.
            body: JSON, no longer compressed.
        """
        try:
            return Answer(200, self._answer(method, path, body))
        except Exception as error:
            return error_answer(as_serving_error(error, "REST"))

    def _answer(self, method: str, path: str, body: bytes) -> str:
        if method == "POST" and (match := _PREDICTION.fullmatch(path)):
            spec = _spec(match)
            verb = match["method"].lower()
            is_predict = verb == "predict"
            name: MethodName = "Predict" if is_predict else _OF_EXAMPLES[verb][0]
            request = METHODS[name].request(model_spec=spec)
            with self._handler.counting(name, request, "REST"):
                if is_predict:
                    return self._predict(request, body)
                return self._infer(verb, request, body)
        if method == "GET" and (match := _STATUS.fullmatch(path)):
            if not match["name"]:
                raise invalid("Missing model name in request.")
            spec = _spec(match)
            return self._metadata(spec) if match["metadata"] else self._status(spec)
        raise invalid(f"Malformed request: {method} {path}")

    def _predict(self, request: predict_pb2.PredictRequest, body: bytes) -> str:
        document = rest_json.parse_json(body)
        request.model_spec.signature_name = rest_json.signature_name(document)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        by_row = False

        def prepare(servable: Servable) -> None:
            nonlocal by_row
            if name not in servable.signatures:
                raise invalid(
                    f'Serving signature name: "{name}" not found in signature def'
                )
            inputs = servable.signatures[name].inputs
            by_row = rest_json.fill_predict_request(document, inputs, request)

        response = self._handler.infer("Predict", request, self.timeout, prepare)
        return rest_json.predict_response_json(response, by_row)

    def _infer(self, verb: str, request: Any, body: bytes) -> str:
        document = rest_json.parse_json(body)
        request.model_spec.signature_name = rest_json.signature_name(document)
        rest_json.fill_examples(document, verb, request.input)
        method, to_json = _OF_EXAMPLES[verb]
        return to_json(self._handler.infer(method, request, self.timeout))

    def _status(self, spec: model_pb2.ModelSpec) -> str:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        return _json(self._handler.status(request))

    def _metadata(self, spec: model_pb2.ModelSpec) -> str:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=[SIGNATURE_DEF]
        )
        response = self._handler.metadata(request)
        return (
            f'{{\n"model_spec": {_json(response.model_spec)},\n'
            f'"metadata": {{"{SIGNATURE_DEF}": {_json(signatures_in(response))}}}\n}}'
        )


def _spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=_decode(match["name"]))
    if match["version"]:
        # More digits than Python reads are too many, too.
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > 19 or int(digits) >= 2**63:
            raise invalid(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(digits)
    if match["label"]:
        spec.version_label = _decode(match["label"])
    return spec


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise invalid(f"Failed to decode model name:{text}") from error


def _json(message: Any) -> str:
    text: str = json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=1,
    )
    return text

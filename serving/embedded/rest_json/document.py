"""The body of a REST request."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from serving.embedded.rest_json.errors import wrong
from serving.embedded.rest_json.values import encoded
from serving.errors import invalid

#: Messages of Python's parser, in the words of TensorFlow Serving's.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object"
    " member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or bracket after an element.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Extra data": "The document root must not be followed by other values.",
}


def parse_json(body: bytes) -> dict[str, Any]:
    """Parses the body of a request.

    Args:
        body: JSON in UTF-8; NaN, Infinity and -Infinity are numbers, and so are
            integers beyond 64 bits: floating ones.

    Raises:
        ServingError: INVALID_ARGUMENT, if it is no JSON object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(
            body.decode("utf-8"), parse_float=_float, parse_int=_integer
        )
    except UnicodeDecodeError as error:
        raise invalid(
            f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        ) from error
    except json.JSONDecodeError as error:
        problem = _PARSE_ERRORS.get(error.msg, error.msg)
        raise invalid(f"JSON Parse error: {problem} at offset: {error.pos}") from error
    except (RecursionError, ValueError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise wrong(document, "Is not object")
    return document


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"Number too big to be stored in double: {text[:40]}")
    return number


def _integer(text: str) -> int | float:
    # By more digits, int() is slow at first, and then refuses.
    if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**64:
        return number
    return _float(text)


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns the signature that a request asks for, empty for the default.

    Raises:
        ServingError: INVALID_ARGUMENT, if it is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise wrong(
            document,
            "not formatted correctly. 'signature_name' key must be a string value.",
        )
    encoded(name)
    return name

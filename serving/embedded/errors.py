"""Errors of the server: what failed as a `ServingError`, and its words on the wire."""

from __future__ import annotations

import logging
from typing import Any

import grpc

from serving.errors import ServingError, status_code

_log = logging.getLogger(__name__)

#: Longest message that is put on the wire, in bytes, as in TensorFlow Serving. A parse
#: error quotes the whole input, and HTTP/2 trailers hold only 8 KiB, three for a byte
#: that isn't ASCII.
MESSAGE_LIMIT = 1024


def not_found(model: str, version: int | None) -> ServingError:
    """Returns the error of a request for a model or a version that isn't there.

    Args:
        model: Name of the model.
        version: The version that was asked for, `None` for the newest.
    """
    what = f"Latest({model})" if version is None else f"Specific({model}, {version})"
    return ServingError(
        grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {what}"
    )


def internal(error: Exception, where: str = "") -> ServingError:
    """Returns the error of what nobody foresaw, with its type in the message.

    Args:
        error: What escaped.
        where: The call that it escaped from.
    """
    failed = f"{where} failed: " if where else ""
    return ServingError(
        grpc.StatusCode.INTERNAL, f"{failed}{type(error).__name__}: {error}"
    )


def from_op_error(error: Any) -> ServingError:
    """Returns a `tf.errors.OpError` as a `ServingError` of its code and message."""
    return ServingError(status_code(error.error_code), str(error.message))


def as_serving_error(error: Exception, where: str) -> ServingError:
    """Returns a `ServingError` as it is; logs any other and makes it INTERNAL.

    Args:
        error: What escaped.
        where: The call that it escaped from.
    """
    if isinstance(error, ServingError):
        return error
    _log.error("%s failed unexpectedly", where, exc_info=error)
    return internal(error, where)


def clip(message: str) -> str:
    """Returns `message`, cut to MESSAGE_LIMIT bytes and marked if it was longer."""
    content = message.encode(errors="backslashreplace")
    if len(content) <= MESSAGE_LIMIT:
        return content.decode()
    return content[:MESSAGE_LIMIT].decode(errors="ignore") + "...TRUNCATED"

"""The one error of this package, and its roads from TensorFlow and to gRPC."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

_log = logging.getLogger(__name__)

#: Longest message that is put on the wire, in characters, as in TensorFlow Serving.
#: A parse error quotes the whole input, and HTTP/2 trailers hold only a few KiB.
MESSAGE_LIMIT = 1024

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_Method = TypeVar("_Method", bound=Callable[..., Any])


class ServingError(Exception):
    """A request, a load or a call failed with a gRPC status.

    Args:
        code: The status code.
        message: What went wrong, as TensorFlow Serving words it where it has words.

    Attributes:
        code: The status code.
        message: The message without the code.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


def status_code(number: int) -> grpc.StatusCode:
    """Returns the gRPC code of a TensorFlow error code (both are the canonical ones).

    Args:
        number: `tf.errors.OpError.error_code`, or `StatusProto.error_code`.

    Returns:
        The code of that number, `UNKNOWN` when there is none.
    """
    return _CODES.get(number, grpc.StatusCode.UNKNOWN)


def from_op_error(error: Any) -> ServingError:
    """Returns a `tf.errors.OpError` as a `ServingError` of its code and message."""
    return ServingError(status_code(error.error_code), str(error.message))


def clip(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """Returns `message`, cut to `limit` characters and marked if it was longer."""
    return message if len(message) <= limit else message[:limit] + "...TRUNCATED"


def answers_errors(method: _Method) -> _Method:
    """Makes a servicer's method answer a `ServingError` as that gRPC status.

    Anything else that escapes is a defect of this server: it is logged with its
    traceback, and the client is told INTERNAL.
    """

    @functools.wraps(method)
    def wrapped(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except ServingError as error:
            code, message = error.code, error.message
        except Exception as error:
            _log.exception("%s failed unexpectedly", method.__name__)
            code = grpc.StatusCode.INTERNAL
            message = f"{method.__name__} failed: {type(error).__name__}: {error}"
        return context.abort(code, clip(message))

    return wrapped  # type: ignore[return-value]

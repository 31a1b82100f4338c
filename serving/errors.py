"""The one error of this package, and its roads from TensorFlow and gRPC, and back."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

_log = logging.getLogger(__name__)

#: Longest message that is put on the wire, in bytes, as in TensorFlow Serving. A parse
#: error quotes the whole input, and HTTP/2 trailers hold only 8 KiB, three for a byte
#: that isn't ASCII.
MESSAGE_LIMIT = 1024

# Seconds, a year: whoever waits that long has no deadline.
_NO_DEADLINE = 3.2e7

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

    def at(self, place: str) -> ServingError:
        """Returns the same error with a place, such as a file, before its message."""
        return ServingError(self.code, f"{place}: {self.message}")


def invalid(message: str) -> ServingError:
    """Returns the error of what is wrong in a request or a configuration."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


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


def from_rpc_error(error: grpc.RpcError) -> ServingError:
    """Returns the failure of a call as a `ServingError` of its code and message."""
    return ServingError(error.code(), error.details() or "")


def from_status(status: Any) -> ServingError | None:
    """Returns a `StatusProto` as a `ServingError`, `None` if it is OK."""
    if not status.error_code:
        return None
    return ServingError(status_code(status.error_code), str(status.error_message))


def clip(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """Returns `message`, cut to `limit` bytes of UTF-8 and marked if it was longer."""
    content = message.encode(errors="backslashreplace")
    if len(content) <= limit:
        return content.decode()
    return content[:limit].decode(errors="ignore") + "...TRUNCATED"


def answers_errors(method: _Method) -> _Method:
    """Makes a servicer's method answer a `ServingError` as that gRPC status.

    Anything else that escapes is a defect of this server: it is logged with its
    traceback, and the client is told INTERNAL.
    """

    @functools.wraps(method)
    def wrapped(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except Exception as error:
            failure = as_serving_error(error, method.__name__)
        return context.abort(failure.code, clip(failure.message))

    return wrapped  # type: ignore[return-value]


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


def time_left(context: grpc.ServicerContext) -> float | None:
    """Returns the seconds until a call's deadline, `None` if it has none."""
    seconds = context.time_remaining()
    # Without a deadline gRPC tells centuries, more than a wait can take.
    return seconds if seconds is not None and seconds < _NO_DEADLINE else None

"""The error of requests and of servers, and what becomes one."""

from __future__ import annotations

from typing import Any

import grpc

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


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
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    def at(self, place: str) -> ServingError:
        """Returns the same error with a place, such as a file, before its message."""
        return ServingError(self.code, f"{place}: {self.message}")


def invalid(message: str) -> ServingError:
    """Returns the error of what is wrong in a request or a configuration."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


_CLOSED = "Socket closed"
"""How gRPC ends what it says where a server takes no connection without TLS."""


def status_code(number: int) -> grpc.StatusCode:
    """Returns the gRPC code of a TensorFlow error code (both are the canonical ones).

    Args:
        number: `tf.errors.OpError.error_code`, or `StatusProto.error_code`.

    Returns:
        The code of that number, `UNKNOWN` when there is none.
    """
    return _CODES.get(number, grpc.StatusCode.UNKNOWN)


def from_rpc_error(error: grpc.RpcError) -> ServingError:
    """Returns the failure of a call as a `ServingError` of its code and message."""
    message = error.details() or ""
    if message.endswith(_CLOSED):
        message += ": the server ended, or it expects TLS and was asked without"
    return ServingError(error.code(), message)


def from_status(status: Any) -> ServingError | None:
    """Returns a `StatusProto` as a `ServingError`, `None` if it is OK."""
    if not status.error_code:
        return None
    return ServingError(status_code(status.error_code), str(status.error_message))

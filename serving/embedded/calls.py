"""What calls of gRPC have in common: the time that they have, and how they fail."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from serving.embedded.errors import as_serving_error, clip

# Seconds, a year: whoever waits that long has no deadline.
_NO_DEADLINE = 3.2e7

_Method = TypeVar("_Method", bound=Callable[..., Any])


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
            code, message = failure.code, clip(failure.message)
            # Its traceback has this frame: in a cycle, the request would stay.
            del failure
        return context.abort(code, message)

    return wrapped  # type: ignore[return-value]


def time_left(context: grpc.ServicerContext) -> float | None:
    """Returns the seconds until a call's deadline, `None` if it has none."""
    seconds = context.time_remaining()
    # Without a deadline gRPC tells centuries, more than a wait can take.
    return seconds if seconds is not None and seconds < _NO_DEADLINE else None

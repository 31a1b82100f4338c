"""Reads the configuration files of tensorflow_model_server: protos as text."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf import text_format
from google.protobuf.message import Message

from serving.errors import ServingError, invalid

_Message = TypeVar("_Message", bound=Message)


def read_config(path: str, message: _Message) -> _Message:
    """Reads a file into a message.

    Args:
        path: A file with a protocol buffer as text.
        message: An empty message of the type that is expected.

    Returns:
        The same message, filled.

    Raises:
        ServingError: The file can't be read (NOT_FOUND), or isn't such a message
            (INVALID_ARGUMENT, with line and column).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ServingError(
            grpc.StatusCode.NOT_FOUND, f"{path} can't be read: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise _invalid(path, message, "it is no text") from error
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise _invalid(path, message, str(error)) from error
    return message


def _invalid(path: str, message: Message, problem: str) -> ServingError:
    return invalid(
        f"Invalid protobuf file: '{path}': expected a {message.DESCRIPTOR.name} as"
        f" text, found {problem}"
    )

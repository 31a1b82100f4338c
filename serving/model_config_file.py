"""The model configuration file, read and rewritten by a program."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.config_files import read_config
from serving.model_config import parse_models


class ModelConfigFile:
    """A `--model_config_file`: a ModelServerConfig as text.

    Of its comments, those above the first line of content outlive a rewriting.

    Args:
        path: The file. A link stays one: what it points to is rewritten.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps out others that change the file by a program.

        Raises:
            OSError: The file of the lock, beside this one, can't be written.
        """
        path = self.path.resolve()
        # Not the file itself, in the place of which another one is put.
        number = os.open(
            path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666
        )
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)

    def read(self) -> model_server_config_pb2.ModelServerConfig:
        """Returns the content.

        Raises:
            ServingError: The file can't be read, or is illegal.
        """
        config = read_config(
            str(self.path), model_server_config_pb2.ModelServerConfig()
        )
        parse_models(config)
        return config

    def write(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the content, at once: nobody sees a part of it.

        Raises:
            OSError: The file, or one beside it, can't be written.
        """
        self.replace_text(self._head() + text_format.MessageToString(config))

    def text(self) -> str:
        """Returns the file as it is."""
        return self.path.read_text(encoding="utf-8")

    def replace_text(self, text: str) -> None:
        """Replaces the file, keeping its permissions.

        Raises:
            OSError: The file, or one beside it, can't be written.
        """
        path = self.path.resolve()
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        part = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # The server may run as somebody else, who must be able to read it still.
            shutil.copymode(path, part)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _head(self) -> str:
        lines = []
        for line in self.text().splitlines(keepends=True):
            if line.strip() and not line.lstrip().startswith("#"):
                break
            lines.append(line)
        return "".join(lines)

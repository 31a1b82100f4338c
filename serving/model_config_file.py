"""The model configuration file, read and rewritten by a program."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.config_files import read_config
from serving.errors import ServingError
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
        path = str(self.path)
        config = read_config(path, model_server_config_pb2.ModelServerConfig())
        try:
            parse_models(config)
        except ServingError as error:
            raise error.at(path) from error
        return config

    def write(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the content, as `replacing` does."""
        with self.replacing(config):
            pass

    @contextlib.contextmanager
    def replacing(
        self, config: model_server_config_pb2.ModelServerConfig
    ) -> Iterator[None]:
        """Replaces the content at the end of the context, unless that fails.

        It is done at once: nobody sees a part of it. Whether it can be done shows at
        the beginning. Permissions stay, and owner and group where they may.

        Raises:
            OSError: The file, or one beside it, can't be written; or somebody who reads
                it now couldn't any more.
        """
        text = self._head() + text_format.MessageToString(config)
        with self._replacing(text):
            yield

    def text(self) -> str:
        """Returns the file as it is."""
        return self.path.read_text(encoding="utf-8")

    def replace_text(self, text: str) -> None:
        """Replaces the file, as `replacing` does."""
        with self._replacing(text):
            pass

    @contextlib.contextmanager
    def _replacing(self, text: str) -> Iterator[None]:
        path = self.path.resolve()
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        part = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # The server may run as somebody else, who must be able to read it still.
            before = path.stat()
            _give(part, before)
            shutil.copymode(path, part)
            if reader := _shut_out(before, part.stat()):
                raise PermissionError(
                    f"{path}: expected to keep its owner and group, found that only"
                    f" root may; {reader}, who can read it now, couldn't any more: do"
                    " this as root or as its owner, or let all read it"
                )
            yield
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


def _give(part: Path, before: os.stat_result) -> None:
    """Gives a file the owner and the group of another, or else the group, if it may."""
    for owner in (before.st_uid, -1):
        with contextlib.suppress(OSError):
            os.chown(part, owner, before.st_gid)
            return


def _shut_out(before: os.stat_result, after: os.stat_result) -> str:
    """Returns who may read a file, but not the one of the same mode; empty for nobody.

    Args:
        before: The file that they may read.
        after: The file that takes its place.
    """
    if before.st_mode & stat.S_IROTH:
        return ""
    for_group = before.st_mode & stat.S_IRGRP
    if for_group and after.st_gid != before.st_gid:
        return f"group {before.st_gid}"
    if (
        before.st_mode & stat.S_IRUSR
        and before.st_uid not in (after.st_uid, 0)
        and not (for_group and _is_member(before.st_uid, before.st_gid))
    ):
        return f"user {before.st_uid}"
    return ""


def _is_member(user: int, group: int) -> bool:
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return False
    return group in os.getgrouplist(entry.pw_name, entry.pw_gid)

"""A sample of the requests and their answers, in files of PredictionLog records."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import queue
import random
import threading
import time
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.embedded.metrics import Metrics
from serving.embedded.servable import Servable
from serving.methods import METHODS, MethodName
from serving.model_config import LogConfig

_log = logging.getLogger(__name__)

#: Most answers that wait to be written; each is kept as it was sent.
MAX_WAITING = 1000

#: Seconds until files are opened again after they couldn't be written.
RETRY_SECONDS = 30.0

# What a TFRecord adds to its record: length, and two checksums.
_FRAME = 16
_STOP_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class LogFiles:
    """When a file is complete.

    Attributes:
        max_bytes: Size from which on the next record goes to another file.
        max_seconds: Age at which a file is completed.
    """

    max_bytes: int
    max_seconds: float


@dataclasses.dataclass(frozen=True)
class _Entry:
    config: LogConfig
    method: MethodName
    request: Any
    response: Any
    model: str
    version: int
    tags: tuple[str, ...]
    seconds: int

    def record(self) -> bytes:
        log = prediction_log_pb2.PredictionLog()
        one = getattr(log, METHODS[self.method].log)
        one.request.CopyFrom(self.request)
        one.response.CopyFrom(self.response)
        metadata = log.log_metadata
        metadata.model_spec.name = self.model
        metadata.model_spec.version.value = self.version
        if self.method != "MultiInference":
            name = self.response.model_spec.signature_name
            metadata.model_spec.signature_name = name
        metadata.sampling_config.sampling_rate = self.config.sampling_rate
        metadata.saved_model_tags.extend(self.tags)
        metadata.timestamp_secs = self.seconds
        return log.SerializeToString()


class RequestLog:
    """Writes a sample of the requests that were answered.

    Files are `<prefix>-<UTC time>-<number>.tfrecord`, with `.part` at the end while
    they are written. They are written by a thread of its own: a request never waits.
    What can't be written, or finds no place in the queue, is dropped and counted.

    Args:
        metrics: Counts records written and dropped.
        files: When a file is complete.
        tags: Tags of the meta graph that the models run, for the records.
    """

    def __init__(
        self, metrics: Metrics, files: LogFiles, tags: tuple[str, ...]
    ) -> None:
        self._metrics = metrics
        self._files = files
        self._tags = tags
        self._queue: queue.Queue[_Entry | None] = queue.Queue(MAX_WAITING)
        self._open: dict[str, _LogFile] = {}
        self._failed: dict[str, float] = {}
        self._thread = threading.Thread(
            target=self._write_all, name="request-log", daemon=True
        )

    def start(self) -> None:
        """Starts to write, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what waits, and completes the files."""
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=_STOP_SECONDS)
            self._thread.join(_STOP_SECONDS)

    def add(
        self,
        config: LogConfig | None,
        method: MethodName,
        request: Any,
        response: Any,
        servable: Servable,
    ) -> None:
        """Takes an answer, if the dice say so.

        Args:
            config: Where to, `None` for nowhere.
            method: The method.
            request: The request; it must not change any more.
            response: Its answer; likewise.
            servable: What answered.
        """
        # The draw needs no secrecy.
        if config is None or random.random() >= config.sampling_rate:  # noqa: S311
            return
        entry = _Entry(
            config,
            method,
            request,
            response,
            servable.name,
            servable.version,
            self._tags,
            int(time.time()),
        )
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self._metrics.logged(servable.name, "RESOURCE_EXHAUSTED")

    def _write_all(self) -> None:
        while True:
            try:
                entry = self._queue.get(timeout=self._pause())
            except queue.Empty:
                pass
            else:
                if entry is None:
                    break
                self._write(entry)
            if self._queue.empty():
                self._tidy()
        for prefix in list(self._open):
            self._flush(prefix, complete=True)

    def _write(self, entry: _Entry) -> None:
        prefix = entry.config.prefix
        if time.monotonic() < self._failed.get(prefix, 0.0):
            self._metrics.logged(entry.model, "UNAVAILABLE")
            return
        try:
            if prefix not in self._open:
                self._open[prefix] = _LogFile(prefix)
            file = self._open[prefix]
            file.write(entry.record(), entry.model)
        except Exception as error:
            self._metrics.logged(entry.model, "UNAVAILABLE")
            self._fail(prefix, error)
            return
        if self._is_complete(file):
            self._flush(prefix, complete=True)

    def _tidy(self) -> None:
        """Brings what was written to the files, and completes those of age."""
        for prefix, file in list(self._open.items()):
            self._flush(prefix, complete=self._is_complete(file))

    def _is_complete(self, file: _LogFile) -> bool:
        return file.size >= self._files.max_bytes or file.age >= self._files.max_seconds

    def _flush(self, prefix: str, *, complete: bool) -> None:
        file = self._open[prefix]
        try:
            written = file.flush()
        except Exception as error:
            self._fail(prefix, error)
            return
        for model in written:
            self._metrics.logged(model, "OK")
        if written and prefix in self._failed:
            del self._failed[prefix]
            _log.info("requests are written to %s again", prefix)
        if complete:
            self._open.pop(prefix).close()

    def _fail(self, prefix: str, error: Exception) -> None:
        if prefix not in self._failed:
            _log.error(
                "requests can't be written to %s, and are answered all the same: %s",
                prefix,
                getattr(error, "message", None) or error,
            )
        self._failed[prefix] = time.monotonic() + RETRY_SECONDS
        if file := self._open.pop(prefix, None):
            for model in file.waiting:
                self._metrics.logged(model, "UNAVAILABLE")
            file.close()

    def _pause(self) -> float | None:
        ages = [file.age for file in self._open.values()]
        if not ages:
            return None
        return max(0.0, self._files.max_seconds - max(ages))


class _LogFile:
    """A file that is being written.

    Args:
        prefix: Start of its path; folders are made.

    Attributes:
        size: Bytes, those included that the disk doesn't have yet.
        waiting: Models of the records that the disk doesn't have yet.

    Raises:
        OSError: It can't be opened.
    """

    def __init__(self, prefix: str) -> None:
        self.size = 0
        self.waiting: list[str] = []
        self._flushed = 0
        self._born = time.monotonic()
        self._path, self._part = _reserve(prefix)
        self._writer = tf.io.TFRecordWriter(str(self._part))

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._born

    def write(self, record: bytes, model: str) -> None:
        """Appends a record of a model."""
        self._writer.write(record)
        self.size += len(record) + _FRAME
        self.waiting.append(model)

    def flush(self) -> list[str]:
        """Brings the records to the disk; returns their models."""
        self._writer.flush()
        self._flushed = self.size
        written, self.waiting = self.waiting, []
        return written

    def close(self) -> None:
        """Completes the file, with the records that were flushed."""
        # A disk that is full may cut off a record, which no reader is to see.
        with contextlib.suppress(OSError, tf.errors.OpError):
            self._writer.close()
        with contextlib.suppress(OSError):
            if self._flushed:
                os.truncate(self._part, self._flushed)
                self._part.rename(self._path)
            else:
                self._part.unlink()


def _reserve(prefix: str) -> tuple[Path, Path]:
    """Returns a path that nobody has, and the one to write to, which is made."""
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    number = 0
    while True:
        path = Path(f"{prefix}-{moment}-{number}.tfrecord")
        part = path.with_name(f"{path.name}.part")
        number += 1
        try:
            part.touch(exist_ok=False)
        except FileExistsError:
            continue
        # Another server that had this name has renamed its part by now.
        if not path.exists():
            return path, part
        part.unlink()

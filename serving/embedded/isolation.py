"""Runs a version of a model in a process of its own, so that only it can crash."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import math
import multiprocessing
import multiprocessing.connection
import os
import select
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

import grpc
from google.protobuf.message import Message
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.embedded import forking
from serving.embedded.errors import internal
from serving.embedded.model import LoadedModel, ModelOptions
from serving.errors import ServingError, status_code
from serving.methods import METHODS, MethodName
from serving.signatures import signature_map

Connection = multiprocessing.connection.Connection

_LONGEST_POLL_MS = 2**31 - 1

#: Seconds past its deadline after which a request counts as hanging.
HANGING_AFTER = 30.0

_LOOK_EVERY = 1.0


class IsolatedModel:
    """A model in a child process, which ends with this one.

    Processes are forked from a server that has imported TensorFlow and done nothing
    else, so one starts in a fraction of a second.

    Args:
        path: Directory of its SavedModel.
        options: How to load and run it.
        connections: Most requests that run at a time.
        cancelled: Asked several times a second while the model loads; true ends that.
        on_failure: Called once, in another thread, if the process ends unasked.

    Raises:
        ServingError: The model can't be loaded, a warm-up request failed, or the
            process ended before (UNAVAILABLE) or was CANCELLED.
    """

    def __init__(
        self,
        path: str,
        options: ModelOptions,
        *,
        connections: int,
        cancelled: Callable[[], bool],
        on_failure: Callable[[], None],
    ) -> None:
        self._on_failure = on_failure
        context = forking.context()
        self._control, control = context.Pipe()
        pairs = [context.Pipe() for _ in range(connections)]
        self._lock = threading.Lock()
        self._all = [ours for ours, _ in pairs]
        self._free = list(self._all)
        # Answers that nobody waits for any more, and since when.
        self._abandoned: dict[Connection, float] = {}
        # Those that a thread writes to or reads from, and by when it should be done. A
        # process that hangs takes no more than fits into the connection.
        self._due: dict[Connection, float] = {}
        self._process = context.Process(
            target=_serve,
            args=(
                control,
                [child for _, child in pairs],
                path,
                # A request is answered at its deadline, whatever its run does.
                dataclasses.replace(options, inline=True),
            ),
            daemon=True,
        )
        forking.start(self._process)
        _models.add(self)
        self._loaded = self._closing = False
        # One thread alone waits for the process: of two, one would miss its exit code.
        self._ended = threading.Event()
        threading.Thread(
            target=self._watch, name=f"watch-{self._process.pid}", daemon=True
        ).start()
        for child in (control, *(child for _, child in pairs)):
            child.close()
        try:
            signatures, self.warmup_records = self._await_load(cancelled)
        except BaseException:
            # While it loads, it doesn't listen.
            self.abort()
            self.close()
            raise
        self.signatures = dict(
            get_model_metadata_pb2.SignatureDefMap.FromString(signatures).signature_def
        )
        self._loaded = True
        if self._ended.is_set():
            raise self._crashed()

    def call(
        self, method: MethodName, request: Any, timeout: float | None = None
    ) -> Any:
        # May fail, of more than 2 GiB; and a connection that is taken must come back.
        content = request.SerializeToString()
        connection = self._take()
        due = math.inf if timeout is None else time.monotonic() + timeout
        with self._using(connection, due):
            connection.send((method, content, timeout))
            if timeout is not None and not _has_answer(
                connection, due - time.monotonic()
            ):
                with self._lock:
                    self._abandoned[connection] = time.monotonic()
                raise ServingError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"no answer within the {timeout:.3g} s of the deadline",
                )
            code, answer = connection.recv()
        with self._lock:
            self._free.append(connection)
        if code:
            raise ServingError(status_code(code), answer)
        return METHODS[method].response.FromString(answer)

    def abort(self) -> None:
        self._closing = True
        # An operation that hangs can't be cancelled, but whoever waits for the process
        # is told that it has ended.
        self._process.kill()

    def close(self) -> None:
        self._closing = True
        self._control.close()
        if not self._ended.wait(timeout=5):
            self._process.kill()
            self._ended.wait()
        for connection in self._all:
            connection.close()

    def _await_load(self, cancelled: Callable[[], bool]) -> tuple[bytes, int]:
        while not self._control.poll(0.1):
            if cancelled():
                raise ServingError(grpc.StatusCode.CANCELLED, "the load was cancelled")
        try:
            code, *answer = self._control.recv()
        except (EOFError, OSError) as error:
            raise self._crashed() from error
        if code:
            raise ServingError(status_code(code), answer[0])
        return answer[0], answer[1]

    def _take(self) -> Connection:
        # Each call that finds out by itself takes a connection with it.
        if self._ended.is_set():
            raise self._crashed()
        with self._lock:
            if self._free:
                return self._free.pop()
            # Requests without a deadline are never abandoned, so not all need be.
            oldest = min(self._abandoned.values(), default=math.inf)
            late = multiprocessing.connection.wait(list(self._abandoned), timeout=0)
            if late:
                connection = cast(Connection, late[0])
                del self._abandoned[connection]
        if late:
            # It may have been there for long, which doesn't mean that anything hangs.
            with self._using(connection, time.monotonic()):
                connection.recv()
            return connection
        if time.monotonic() - oldest > HANGING_AFTER:
            self._process.kill()
            raise self._crashed()
        raise ServingError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"all {len(self._all)} requests that may run at a time are running",
        )

    @contextlib.contextmanager
    def _using(self, connection: Connection, due: float) -> Iterator[None]:
        """Has the process killed if the context ends far too late, which ends it."""
        with self._lock:
            self._due[connection] = due
        try:
            yield
        except (EOFError, OSError) as error:
            raise self._crashed() from error
        finally:
            with self._lock:
                del self._due[connection]

    def _crashed(self) -> ServingError:
        code = self._process.exitcode if self._ended.wait(timeout=5) else None
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name
        return ServingError(
            grpc.StatusCode.UNAVAILABLE, f"the model's process ended: {how}"
        )

    def _watch(self) -> None:
        while self._process.exitcode is None:
            self._process.join(_LOOK_EVERY)
            with self._lock:
                oldest = min(self._due.values(), default=math.inf)
            if time.monotonic() - oldest > HANGING_AFTER:
                self._process.kill()
        self._ended.set()
        if self._loaded and not self._closing:
            self._on_failure()


_models: weakref.WeakSet[IsolatedModel] = weakref.WeakSet()


@atexit.register
def _abort_all() -> None:
    # Otherwise multiprocessing would send them a SIGTERM, which they don't take, and
    # wait.
    for model in list(_models):
        model.abort()


def _has_answer(connection: Connection, seconds: float) -> bool:
    """Waits for an answer, or for the end of whoever would send it.

    Cheaper than the connection's own `poll`, which makes a selector, and which fails
    with a wait of weeks.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(min(max(seconds * 1000, 0), _LONGEST_POLL_MS)))


def _serve(
    control: Connection, connections: list[Connection], path: str, options: ModelOptions
) -> None:
    """The child's side: loads the model and answers on every connection."""
    # Signals go to the whole terminal; the parent decides when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # The parent closes its end, or is gone, and with it whoever waits for a run.
    with contextlib.suppress(EOFError, OSError):
        try:
            model = LoadedModel(path, options)
        except Exception as error:
            control.send(_failure(error))
            return
        signatures = signature_map(model.signatures).SerializeToString()
        control.send((0, signatures, model.warmup_records))
        for connection in connections:
            threading.Thread(
                target=_answer, args=(connection, model), daemon=True
            ).start()
        control.recv()
    os._exit(0)


def _answer(connection: Connection, model: LoadedModel) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            method, content, timeout = connection.recv()
            connection.send(_answer_one(model, method, content, timeout))


def _answer_one(
    model: LoadedModel, method: MethodName, content: bytes, timeout: float | None
) -> tuple[int, bytes | str]:
    try:
        request = METHODS[method].request.FromString(content)
        response: Message = model.call(method, request, timeout)
        return 0, response.SerializeToString()
    except Exception as error:
        return _failure(error, method)


def _failure(error: Exception, where: str = "") -> tuple[int, str]:
    """What the parent is sent of an error: code and message."""
    told = error if isinstance(error, ServingError) else internal(error, where)
    return told.code.value[0], told.message

"""Puts the requests of several callers together and runs them as one."""

from __future__ import annotations

import collections
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import grpc
import numpy as np

from serving.config_files import read_config
from serving.deadlines import Deadline
from serving.embedded.errors import as_serving_error
from serving.errors import ServingError, invalid
from serving.protos import BatchingParameters

_log = logging.getLogger(__name__)

#: Runs arrays that have their rows in the first dimension: (key, arrays, timeout).
Run = Callable[[Any, list[np.ndarray], float | None], list[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """How requests are put together; the names are those of the parameters file.

    Attributes:
        max_batch_size: Most rows in a batch. A request of more rows is refused.
        batch_timeout_micros: Longest that a request waits for company while a thread is
            free, in microseconds.
        max_enqueued_batches: Most batches that wait for a thread.
        num_batch_threads: Batches that run at a time.
        allowed_batch_sizes: Sizes that batches are padded to, ascending, the last one
            `max_batch_size`; none for no padding.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = dataclasses.field(
        default_factory=lambda: os.cpu_count() or 1
    )
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (
            ("max_batch_size", 1),
            ("batch_timeout_micros", 0),
            ("max_enqueued_batches", 1),
            ("num_batch_threads", 1),
        ):
            if (value := getattr(self, name)) < least:
                raise invalid(f"{name}: expected at least {least}, found {value}")
        sizes = self.allowed_batch_sizes
        if sizes and (
            list(sizes) != sorted(set(sizes)) or sizes[-1] != self.max_batch_size
        ):
            raise invalid(
                "allowed_batch_sizes: expected ascending sizes, the last one"
                f" max_batch_size ({self.max_batch_size}), found {list(sizes)}"
            )


def read_batching_options(path: str) -> BatchingOptions:
    """Reads a `--batching_parameters_file`.

    Args:
        path: A file with BatchingParameters as text. `thread_pool_name` is not used,
            nor is `pad_variable_length_inputs`: only rows of one shape share a batch.
            Nor are `enable_large_batch_splitting` and `max_execution_batch_size`: a
            batch may be as large as a request.

    Raises:
        ServingError: The file can't be read, or a parameter is out of its range.
    """
    parameters = read_config(path, BatchingParameters())
    values: dict[str, Any] = {
        name: getattr(parameters, name).value
        for name in (
            "max_batch_size",
            "batch_timeout_micros",
            "max_enqueued_batches",
            "num_batch_threads",
        )
        if parameters.HasField(name)
    }
    sizes = list(parameters.allowed_batch_sizes)
    largest = values.get("max_batch_size", BatchingOptions.max_batch_size)
    if sizes and parameters.enable_large_batch_splitting.value and sizes[-1] < largest:
        # They are those of the parts, of which none is larger.
        sizes.append(largest)
    try:
        return BatchingOptions(**values, allowed_batch_sizes=tuple(sizes))
    except ServingError as error:
        raise error.at(path) from error


class _Task:
    """One caller's request, from `run` to its result."""

    def __init__(self, arrays: list[np.ndarray], rows: int, deadline: Deadline) -> None:
        self.arrays = arrays
        self.rows = rows
        self.deadline = deadline
        self.outputs: list[np.ndarray] = []
        self.error: ServingError | None = None
        self.done = threading.Event()


@dataclasses.dataclass
class _Batch:
    key: Hashable
    opened: float
    tasks: list[_Task] = dataclasses.field(default_factory=list)
    rows: int = 0


class Batcher:
    """Runs requests of one key and one row shape together.

    A batch goes to a thread when it is full, or a thread is free and its first request
    has waited for `batch_timeout_micros`. A request that fails in company is run again
    alone, so that it fails nobody else.

    Args:
        options: Sizes and times.
        run: Runs the rows of a batch; the outputs have as many rows, or the requests of
            that key are run one by one.
    """

    def __init__(self, options: BatchingOptions, run: Run) -> None:
        self._options = options
        self._run = run
        self._changed = threading.Condition()
        self._queue: collections.deque[_Batch] = collections.deque()
        self._open: dict[Hashable, _Batch] = {}
        self._unbatchable: set[Hashable] = set()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(options.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self, key: Hashable, arrays: list[np.ndarray], timeout: float | None
    ) -> list[np.ndarray]:
        """Runs one caller's rows, in company if there is some.

        Args:
            key: What must be equal to run together.
            arrays: The rows in the first dimension of each.
            timeout: Seconds that it may take, `None` for no limit.

        Returns:
            The outputs of these rows.

        Raises:
            ServingError: INVALID_ARGUMENT for more rows than a batch may have,
                RESOURCE_EXHAUSTED when the queue is full, DEADLINE_EXCEEDED, or what
                the run raises.
        """
        rows = _rows(arrays)
        if not rows or key in self._unbatchable:
            return self._run(key, arrays, timeout)
        if rows > self._options.max_batch_size:
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size"
                f" {self._options.max_batch_size}"
            )
        task = _Task(arrays, rows, Deadline(timeout))
        shapes = tuple((array.dtype.str, array.shape[1:]) for array in arrays)
        self._enqueue((key, shapes), task)
        if not task.done.wait(timeout):
            raise _late()
        if task.error is not None:
            raise ServingError(task.error.code, task.error.message)
        return task.outputs

    def close(self) -> None:
        """Ends the threads. No call of `run` may be under way."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _enqueue(self, key: Hashable, task: _Task) -> None:
        with self._changed:
            batch = self._open.get(key)
            if batch is None or batch.rows + task.rows > self._options.max_batch_size:
                if len(self._queue) >= self._options.max_enqueued_batches:
                    raise ServingError(
                        grpc.StatusCode.RESOURCE_EXHAUSTED,
                        "The batch scheduling queue to which this task was submitted is"
                        " full",
                    )
                batch = _Batch(key, time.monotonic())
                self._open[key] = batch
                self._queue.append(batch)
            batch.tasks.append(task)
            batch.rows += task.rows
            self._changed.notify()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._execute(batch)

    def _next(self) -> _Batch | None:
        """Takes the oldest batch that is due; waits for one; `None` at the end."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                pauses = []
                for batch in self._queue:
                    pause = self._due(batch) - now
                    if pause <= 0:
                        self._queue.remove(batch)
                        if self._open.get(batch.key) is batch:
                            del self._open[batch.key]
                        return batch
                    pauses.append(pause)
                self._changed.wait(min(pauses, default=None))
        return None

    def _due(self, batch: _Batch) -> float:
        is_last = self._open.get(batch.key) is batch
        if not is_last or batch.rows >= self._options.max_batch_size:
            return 0.0
        return batch.opened + self._options.batch_timeout_micros / 1e6

    def _execute(self, batch: _Batch) -> None:
        key = batch.key[0]  # type: ignore[index]
        tasks = []
        for task in batch.tasks:
            if task.deadline.passed:
                # Its caller may not have noticed yet.
                task.error = _late()
                task.done.set()
            else:
                tasks.append(task)
        if not tasks:
            return
        if len(tasks) == 1 and not self._options.allowed_batch_sizes:
            self._execute_alone(key, tasks[0])
            return
        try:
            outputs = self._together(key, tasks)
        except ServingError:
            outputs = None
        except Exception:
            _log.exception("a batch failed unexpectedly; its requests are run alone")
            outputs = None
        for number, task in enumerate(tasks):
            if outputs is None:
                self._execute_alone(key, task)
            else:
                task.outputs = [parts[number] for parts in outputs]
                task.done.set()

    def _together(
        self, key: Hashable, tasks: list[_Task]
    ) -> list[list[np.ndarray]] | None:
        """Returns the parts of each output, one a task; `None` if it has other rows."""
        rows = sum(task.rows for task in tasks)
        allowed = (s for s in self._options.allowed_batch_sizes if s >= rows)
        padding = next(allowed, rows) - rows
        columns = []
        for position, first in enumerate(tasks[0].arrays):
            parts = [task.arrays[position] for task in tasks]
            columns.append(np.concatenate([*parts, *[first[:1]] * padding]))
        timeouts = [task.deadline.left() for task in tasks]
        longest = (
            None if None in timeouts else max(t for t in timeouts if t is not None)
        )
        outputs = self._run(key, columns, longest)
        if any(_rows([output]) != rows + padding for output in outputs):
            self._unbatchable.add(key)
            return None
        ends = np.cumsum([task.rows for task in tasks])
        return [np.split(output[:rows], ends[:-1]) for output in outputs]

    def _execute_alone(self, key: Hashable, task: _Task) -> None:
        try:
            task.outputs = self._run(key, task.arrays, task.deadline.left())
        except ServingError as error:
            # The traceback of this one has the task: in a cycle, its arrays would stay.
            task.error = ServingError(error.code, error.message)
        except Exception as error:
            task.error = as_serving_error(error, "batch")
        task.done.set()


def _rows(arrays: list[np.ndarray]) -> int:
    """Returns the number of rows that all arrays have, 0 if they have no such."""
    sizes = {array.shape[0] if array.ndim else 0 for array in arrays}
    return sizes.pop() if len(sizes) == 1 else 0


def _late() -> ServingError:
    return ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "Run() timeout exceeded while waiting in batching queue",
    )

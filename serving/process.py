"""Runs the embedded server as a child process, for a demo or the check of a model."""

from __future__ import annotations

import collections
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self, cast

import grpc

from serving.deadlines import Deadline
from serving.errors import ServingError

_READY = re.compile(
    r"Serving .* version (?P<version>\d+) on port (?P<port>\d+)"
    r"(, REST on port (?P<rest_port>\d+))?"
)
_STDERR_LINES = 20


class ServerProcess:
    """A server in a process of its own, on a free port of this machine.

    A context manager: it starts, and waits until it serves, on entry; it stops on exit.
    It also stops if this process ends before, even by SIGKILL.

    Args:
        model_name: Name by which requests ask for the model.
        model_base_path: Directory whose integer sub-folders are the versions.
        startup_timeout: Seconds until the first version must serve.
        max_num_load_retries: Attempts after the first to load a version. Unlike the
            server's default it is 0: a model that doesn't load is told at once.
        arguments: More flags of `python -m serving`, such as
            `--enable_model_warmup=false`.

    Attributes:
        target: Address for clients, as `127.0.0.1:port`; empty until it serves.
        rest_target: Address of REST, if `arguments` ask for it.
        version: The version that it served first; 0 until then.
    """

    def __init__(
        self,
        *,
        model_name: str,
        model_base_path: str | os.PathLike[str],
        startup_timeout: float = 120.0,
        max_num_load_retries: int = 0,
        arguments: Sequence[str] = (),
    ) -> None:
        self.model_name = model_name
        self.model_base_path = os.fspath(model_base_path)
        self.startup_timeout = startup_timeout
        self.target = ""
        self.rest_target = ""
        self.version = 0
        # -P keeps a folder "serving" of the working directory from being run instead.
        self._command = [
            sys.executable,
            "-P",
            "-m",
            "serving",
            "--backend=embedded",
            # Whoever reaches it can have it load any model: only this machine.
            "--host=127.0.0.1",
            "--port=-1",
            "--stop_at_eof",
            f"--model_name={self.model_name}",
            f"--model_base_path={self.model_base_path}",
            f"--max_num_load_retries={max_num_load_retries}",
            *arguments,
        ]
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._output: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)

    def start(self) -> None:
        """Starts the server and waits until it serves.

        Raises:
            ServingError: It ended before (UNAVAILABLE) or was not ready in time
                (DEADLINE_EXCEEDED). The message has its last lines of stderr.
        """
        root = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,  # whose end tells it that this process has ended
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": path},
        )
        self._process = process
        self._readers = [
            threading.Thread(target=reader, args=(stream,), daemon=True)
            for reader, stream in (
                (self._read_output, cast(IO[str], process.stdout)),
                (self._read_errors, cast(IO[str], process.stderr)),
            )
        ]
        for reader in self._readers:
            reader.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop(timeout=0)
            raise

    def stop(self, timeout: float = 60.0) -> int:
        """Lets the requests in flight end and stops the server.

        Args:
            timeout: Seconds until the process is killed.

        Returns:
            Its exit code, negative for a signal.
        """
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        cast(IO[str], self._process.stdin).close()
        self._join_readers()
        return self._process.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the process to end by itself.

        Args:
            timeout: Seconds to wait, `None` for no limit.

        Returns:
            Its exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        return self._process.wait(timeout) if self._process is not None else 0

    def send_signal(self, number: int) -> None:
        """Sends a signal, such as `signal.SIGTERM`, to the process if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def stderr(self) -> str:
        """Returns the last lines that the server wrote to stderr."""
        return "\n".join(self._errors)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _wait_until_ready(self) -> None:
        deadline = Deadline(self.startup_timeout)
        while True:
            try:
                line = self._output.get(timeout=deadline.left())
            except queue.Empty:
                raise self._failure(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"did not serve within {self.startup_timeout:g} s",
                ) from None
            if line is None:
                code = self.wait()
                self._join_readers()
                raise self._failure(
                    grpc.StatusCode.UNAVAILABLE, f"ended with exit code {code}"
                )
            if match := _READY.fullmatch(line.rstrip()):
                self.target = f"127.0.0.1:{match['port']}"
                if match["rest_port"]:
                    self.rest_target = f"127.0.0.1:{match['rest_port']}"
                self.version = int(match["version"])
                return

    def _failure(self, code: grpc.StatusCode, what: str) -> ServingError:
        return ServingError(
            code,
            f"the server of model {self.model_name} at {self.model_base_path} {what};"
            f" its last lines were:\n{self.stderr()}",
        )

    def _read_output(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._output.put(line)
        self._output.put(None)

    def _read_errors(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._errors.append(line.rstrip())

    def _join_readers(self) -> None:
        for reader in self._readers:
            reader.join(timeout=5)

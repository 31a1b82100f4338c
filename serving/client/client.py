"""The client that waits for its answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving.client.base import (
    POLL_SECONDS,
    BaseClient,
    statuses,
)
from serving.client.rows import Row, Rows
from serving.client.scoring import Scores
from serving.deadlines import Deadline
from serving.errors import ServingError, from_rpc_error
from serving.signatures import signatures_in
from serving.status import VersionStatus


class Client(BaseClient):
    """Asks a model for scores. Safe to share between threads; close it after use.

    It has one connection, which all its calls share: make one client and keep it. A
    request that fails with UNAVAILABLE or RESOURCE_EXHAUSTED is sent again after a
    pause that grows from 0.1 to 0.8 s, as long as its time isn't over.

    Args:
        target: The server, as `host:port`.
        model_name: Name of the model.
        spec: Description of the rows.
        version: The version to ask, `None` for the newest that serves.
        label: The version with this label, in place of a number.
        canary: The users to ask another version for. Needs `label` or `version`, for
            all the others.
        timeout: Seconds that one request may take, with all attempts.
        attempts: Most attempts to send a request, 1 to 5; 1 for no retries.
        rows_per_request: Most rows in one request; more are sent in several.
        tls: Certificates; `None` for a plain connection.

    Raises:
        OSError: A file of `tls` can't be read.
        ServingError: INVALID_ARGUMENT, if what is in it can't be used.
        ValueError: An argument is out of its range, or contradicts another.
    """

    api = grpc

    def predict(
        self,
        rows: Rows,
        context: Row | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        deadline: float | None = None,
    ) -> np.ndarray:
        """Scores rows.

        Args:
            rows: Values by column, each row with every feature of the description, in
                dictionaries or a DataFrame (whose missing values are empty cells).
            context: Values of columns that all rows have in common, such as the user of
                many candidates. They are sent once a request, and a row's own value
                comes before them. Needs a model with the signature `regress`.
            version: The version to ask for these rows, canary or not.
            label: The same by label.
            deadline: Seconds that the whole call may take, `None` for no more limit
                than each request's `timeout`.

        Returns:
            float32 (n,), the score of each row, in order.

        Raises:
            RequestRowError: A row lacks a column, or has a wrong value in it. Requests
                with the rows before it may have been sent.
            ServingError: The server answered an error, or not in time.
        """
        ends = Deadline(deadline)
        scores = Scores()
        for request in self._requests(rows, context, version, label):
            send = getattr(self._predictions, request.method)
            try:
                response = send(request.message, timeout=self._next_timeout(ends))
            except grpc.RpcError as error:
                raise request.failure(error) from error
            scores.add(request, response)
        return scores.in_order()

    def metadata(self) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Returns the model's signatures by name.

        Raises:
            ServingError: The server answered an error, or not in time.
        """
        response = self._call(
            self._predictions.GetModelMetadata, self._metadata_request()
        )
        return dict(signatures_in(response).signature_def)

    def status(self) -> list[VersionStatus]:
        """Returns the state of each version that the server knows, the newest first.

        Raises:
            ServingError: The server answered an error, or not in time.
        """
        return self._status(self.timeout)

    def wait_until_ready(self, timeout: float = 60.0) -> int:
        """Waits until a version of the model serves, or the one that the client asks.

        Args:
            timeout: Seconds to wait.

        Returns:
            The newest version that serves.

        Raises:
            ServingError: DEADLINE_EXCEEDED, with what was last heard of the model.
        """
        wait = self._wait(timeout)
        while True:
            answer: list[VersionStatus] | ServingError
            try:
                answer = self._status(min(self.timeout, wait.left()))
            except ServingError as error:
                answer = error
            if (version := wait.ready(answer)) is not None:
                return version
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _status(self, timeout: float) -> list[VersionStatus]:
        request = self._status_request()
        return statuses(self._call(self._models.GetModelStatus, request, timeout))

    def _call(
        self, method: Callable[..., Any], request: Any, timeout: float | None = None
    ) -> Any:
        try:
            return method(request, timeout=timeout or self.timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

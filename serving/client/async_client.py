"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
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
from serving.client.scoring import ScoreRequest, Scores
from serving.deadlines import Deadline
from serving.errors import ServingError, from_rpc_error
from serving.signatures import signatures_in
from serving.status import VersionStatus


class AsyncClient(BaseClient):
    """`Client` with coroutines for its methods.

    Make one in the event loop that uses it, and keep it: it has one connection, which
    all its calls share. Rows are encoded in the loop, one request's at a time, so
    `rows_per_request` also bounds how long the loop is held.

    The arguments are those of `Client`.
    """

    api = grpc.aio
    _closed = False

    async def predict(
        self,
        rows: Rows,
        context: Row | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        deadline: float | None = None,
        in_flight: int = 4,
    ) -> np.ndarray:
        """Scores rows, as `Client.predict` with the same arguments, and one more.

        At most `in_flight` requests of this call are under way at a time. The first
        error ends the call and cancels its other requests. If the client is closed
        meanwhile, that is a ServingError of the code CANCELLED.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight: expected at least 1, found {in_flight}")
        ends = Deadline(deadline)
        scores = Scores()
        slots = asyncio.Semaphore(in_flight)

        async def send(request: ScoreRequest, timeout: float) -> None:
            method = getattr(self._predictions, request.method)
            try:
                with self._told_of_closing():
                    response = await method(request.message, timeout=timeout)
            except grpc.RpcError as error:
                raise request.failure(error) from error
            finally:
                slots.release()
            scores.add(request, response)

        try:
            async with asyncio.TaskGroup() as tasks:
                for request in self._requests(rows, context, version, label):
                    await slots.acquire()
                    tasks.create_task(send(request, self._next_timeout(ends)))
                    # Lets it go out before the next one's rows are encoded.
                    await asyncio.sleep(0)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        return scores.in_order()

    async def metadata(self) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Returns the model's signatures by name, as `Client.metadata`."""
        response = await self._call(
            self._predictions.GetModelMetadata, self._metadata_request()
        )
        return dict(signatures_in(response).signature_def)

    async def status(self) -> list[VersionStatus]:
        """Returns the state of each version, as `Client.status`."""
        return await self._status(self.timeout)

    async def wait_until_ready(self, timeout: float = 60.0) -> int:
        """Waits until a version of the model serves, as `Client.wait_until_ready`."""
        wait = self._wait(timeout)
        while True:
            answer: list[VersionStatus] | ServingError
            try:
                answer = await self._status(min(self.timeout, wait.left()))
            except ServingError as error:
                if error.code is grpc.StatusCode.CANCELLED:
                    raise
                answer = error
            if (version := wait.ready(answer)) is not None:
                return version
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Closes the connection, and ends the calls under way with an error."""
        self._closed = True
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _status(self, timeout: float) -> list[VersionStatus]:
        request = self._status_request()
        return statuses(await self._call(self._models.GetModelStatus, request, timeout))

    async def _call(
        self, method: Callable[..., Any], request: Any, timeout: float | None = None
    ) -> Any:
        try:
            with self._told_of_closing():
                return await method(request, timeout=timeout or self.timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    @contextlib.contextmanager
    def _told_of_closing(self) -> Iterator[None]:
        """Tells the end of the client from that of a task: gRPC raises one for both."""
        try:
            yield
        except (asyncio.CancelledError, grpc.aio.UsageError) as error:
            if not self._closed:
                raise
            raise ServingError(
                grpc.StatusCode.CANCELLED, "the client was closed"
            ) from error

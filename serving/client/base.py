"""What the clients have in common: all but sending and waiting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from midpg_tf.spec import DatasetSpec
from serving.client.channel import MAX_ATTEMPTS, ClientTLS, open_channel
from serving.client.choice import Canary, VersionChoice
from serving.client.rows import Row, Rows
from serving.client.scoring import RequestBuilder, ScoreRequest
from serving.deadlines import Deadline
from serving.errors import ServingError, from_status
from serving.signatures import SIGNATURE_DEF
from serving.status import State, VersionStatus

#: Seconds from one question whether a model serves to the next.
POLL_SECONDS = 0.1


class BaseClient:
    """A client that doesn't know how to wait. Its arguments are those of `Client`."""

    #: The gRPC API that opens the channel: `grpc`, or `grpc.aio`.
    api: Any

    def __init__(
        self,
        target: str,
        model_name: str,
        spec: DatasetSpec,
        *,
        version: int | None = None,
        label: str | None = None,
        canary: Canary | None = None,
        timeout: float = 10.0,
        attempts: int = 5,
        rows_per_request: int = 1000,
        tls: ClientTLS | None = None,
    ) -> None:
        if rows_per_request < 1:
            raise ValueError(
                f"rows_per_request: expected at least 1, found {rows_per_request}"
            )
        if not 1 <= attempts <= MAX_ATTEMPTS:
            raise ValueError(
                f"attempts: expected 1 to {MAX_ATTEMPTS}, found {attempts}"
            )
        self.target = target
        self.model_name = model_name
        self.timeout = timeout
        self.rows_per_request = rows_per_request
        self._choice = VersionChoice(version, label)
        self._builder = RequestBuilder(
            model_name, spec, self._choice, canary, rows_per_request
        )
        self._channel = open_channel(self.api, target, tls, attempts, timeout=timeout)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def _requests(
        self,
        rows: Rows,
        context: Row | None,
        version: int | None,
        label: str | None,
    ) -> Iterator[ScoreRequest]:
        return self._builder.requests(rows, context, VersionChoice(version, label))

    def _next_timeout(self, deadline: Deadline) -> float:
        """Returns the seconds that the next request of a call may take.

        Raises:
            ServingError: DEADLINE_EXCEEDED.
        """
        left = deadline.left()
        if left is None:
            return self.timeout
        if not left:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"not all rows could be sent within {deadline.seconds:g} s",
            )
        return min(self.timeout, left)

    def _metadata_request(self) -> get_model_metadata_pb2.GetModelMetadataRequest:
        return get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._choice.model_spec(self.model_name),
            metadata_field=[SIGNATURE_DEF],
        )

    def _status_request(self) -> get_model_status_pb2.GetModelStatusRequest:
        return get_model_status_pb2.GetModelStatusRequest(
            model_spec=model_pb2.ModelSpec(name=self.model_name)
        )

    def _wait(self, timeout: float) -> Wait:
        return Wait(self.model_name, self.target, self._choice.version, timeout)


class Wait:
    """Waits for a version that serves, given the answers of the server.

    Args:
        model_name: Name of the model.
        target: The server.
        version: The version to wait for, `None` for any.
        timeout: Seconds to wait.
    """

    def __init__(
        self, model_name: str, target: str, version: int | None, timeout: float
    ) -> None:
        self._model_name = model_name
        self._target = target
        self._version = version
        self._deadline = Deadline(timeout)

    def left(self) -> float:
        """Returns the seconds that the next question may take, at least one poll's."""
        return max(self._deadline.left() or 0.0, POLL_SECONDS)

    def ready(self, answer: list[VersionStatus] | ServingError) -> int | None:
        """Returns the newest version that serves, `None` to ask again after a pause.

        Args:
            answer: The states of the versions, or what went wrong.

        Raises:
            ServingError: DEADLINE_EXCEEDED, with what was last heard of the model.
        """
        if isinstance(answer, ServingError):
            heard = str(answer)
        else:
            ready = [
                status.version
                for status in answer
                if status.state is State.AVAILABLE
                and self._version in (None, status.version)
            ]
            if ready:
                return max(ready)
            heard = ", ".join(
                f"version {s.version} {s.state.name} {s.error or ''}".rstrip()
                for s in answer
            )
        if self._deadline.passed:
            wanted = "" if self._version is None else f" version {self._version} of"
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"{wanted} model {self._model_name} at {self._target} did not serve"
                f" within {self._deadline.seconds:g} s; last heard: {heard}".lstrip(),
            )
        return None


def statuses(
    response: get_model_status_pb2.GetModelStatusResponse,
) -> list[VersionStatus]:
    """Returns the states of a response, in its order."""
    return [
        VersionStatus(entry.version, State(entry.state), from_status(entry.status))
        for entry in response.model_version_status
    ]

"""Requests for the scores of rows, and their answers, without sending any."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, regression_pb2

from midpg_tf.spec import DatasetSpec, RowError
from serving.client.choice import Canary, VersionChoice
from serving.client.rows import Row, RowEncoder, Rows, RowSource
from serving.errors import ServingError, from_rpc_error
from serving.signatures import CONTEXT_SIGNATURE, DEFAULT_SIGNATURE, EXAMPLES, SCORE
from serving.tensors import to_array


@dataclasses.dataclass(frozen=True)
class ScoreRequest:
    """One request, and how to read what comes back.

    Attributes:
        method: The method of the PredictionService.
        message: Its request.
        positions: Position of each of its rows among those of the call.
        canary: The canary's label, if it is what the request goes to.
    """

    method: Literal["Predict", "Regress"]
    message: predict_pb2.PredictRequest | regression_pb2.RegressionRequest
    positions: Sequence[int]
    canary: str | None = None

    def scores(self, response: Any) -> np.ndarray:
        """Returns the scores of the rows, float32 (rows,).

        Args:
            response: The response of that method.

        Raises:
            ServingError: INTERNAL, if there isn't one score a row.
        """
        if self.method == "Regress":
            found = np.array(
                [regression.value for regression in response.result.regressions],
                np.float32,
            )
        else:
            found = to_array(SCORE, response.outputs[SCORE])
        if found.shape != (len(self.positions),):
            raise ServingError(
                grpc.StatusCode.INTERNAL,
                f"output {SCORE} of model {self.message.model_spec.name}: expected"
                f" shape ({len(self.positions)},), found {found.shape}; export one"
                " score a row",
            )
        return found.astype(np.float32, copy=False)

    def failure(self, error: grpc.RpcError) -> ServingError:
        """Returns the failure of the request, with what may help."""
        failure = from_rpc_error(error)
        message = failure.message
        if self.method == "Regress" and "No signature was found" in message:
            message += (
                "; the model was exported without it: export it anew, or put the"
                " context's values into each row"
            )
        if self.canary is not None:
            message = f"canary: {message}"
            if "label" in message or failure.code is grpc.StatusCode.NOT_FOUND:
                message += (
                    f"; expected the label {self.canary!r} on a version that serves:"
                    " set it on the server, or ask without a canary"
                )
        return ServingError(failure.code, message)


class RequestBuilder:
    """Makes requests of rows.

    Args:
        model_name: Name of the model.
        spec: Description of the rows.
        choice: The version to ask.
        canary: The share of users to ask another version for, `None` for no one.
        rows_per_request: Most rows in one request.

    Raises:
        ValueError: The canary has no version to differ from.
    """

    def __init__(
        self,
        model_name: str,
        spec: DatasetSpec,
        choice: VersionChoice,
        canary: Canary | None,
        rows_per_request: int,
    ) -> None:
        if canary is not None and choice.is_newest:
            raise ValueError(
                "canary: expected a label or a version for all other users, found"
                " neither; the newest version, which a server takes without them, may"
                " be the canary itself"
            )
        self.model_name = model_name
        self._encoder = RowEncoder(spec)
        self._choice = choice
        self._canary = canary
        self._rows_per_request = rows_per_request

    def requests(
        self, rows: Rows, context: Row | None, choice: VersionChoice
    ) -> Iterator[ScoreRequest]:
        """Makes the requests of a call, each when it is asked for.

        Args:
            rows: Dictionaries, or a DataFrame.
            context: Values that the rows have in common.
            choice: The version to ask in place of the client's, for all rows.

        Raises:
            RequestRowError: A row lacks a column, or has a wrong value in it.
            TypeError: The rows are neither.
        """
        canary = self._canary if choice.is_newest else None
        stable = self._choice if choice.is_newest else choice
        key = () if canary is None else (canary.key,)
        source = RowSource(rows, (*self._encoder.columns, *key))
        groups: dict[bool, list[tuple[int, Row]]] = {False: [], True: []}

        def request(is_canary: bool) -> ScoreRequest:
            group, groups[is_canary] = groups[is_canary], []
            if is_canary and canary is not None:
                asked = VersionChoice(label=canary.label)
                return self._request(source, group, context, asked, canary.label)
            return self._request(source, group, context, stable)

        for index, row in enumerate(source):
            is_canary = canary is not None and self._takes(
                canary, source, index, row, context or {}
            )
            groups[is_canary].append((index, row))
            if len(groups[is_canary]) == self._rows_per_request:
                yield request(is_canary)
        for is_canary in groups:
            if groups[is_canary]:
                yield request(is_canary)

    def _takes(
        self, canary: Canary, source: RowSource, index: int, row: Row, context: Row
    ) -> bool:
        try:
            for values in (row, context):
                if canary.key in values:
                    return canary.takes(self.model_name, values[canary.key])
            found = ", ".join(map(str, [*context, *source.columns(row)]))
            raise RowError(
                canary.key,
                f"expected the canary's key; found the columns {found or 'none'}",
            )
        except RowError as error:
            raise source.error(index, error) from error

    def _request(
        self,
        source: RowSource,
        rows: Sequence[tuple[int, Row]],
        context: Row | None,
        choice: VersionChoice,
        canary: str | None = None,
    ) -> ScoreRequest:
        positions = [index for index, _ in rows]
        if context is None:
            predict = predict_pb2.PredictRequest(
                model_spec=choice.model_spec(self.model_name, DEFAULT_SIGNATURE),
                output_filter=[SCORE],
            )
            tensor = predict.inputs[EXAMPLES]
            tensor.dtype = types_pb2.DT_STRING
            tensor.tensor_shape.dim.add(size=len(rows))
            tensor.string_val.extend(
                example.SerializeToString()
                for example in self._encoder.whole(source, rows)
            )
            return ScoreRequest("Predict", predict, positions, canary)
        shared, own = self._encoder.split(source, rows, context)
        regress = regression_pb2.RegressionRequest(
            model_spec=choice.model_spec(self.model_name, CONTEXT_SIGNATURE)
        )
        regress.input.example_list_with_context.context.CopyFrom(shared)
        regress.input.example_list_with_context.examples.extend(own)
        return ScoreRequest("Regress", regress, positions, canary)


class Scores:
    """Scores as they come in, in any order."""

    def __init__(self) -> None:
        self._positions: list[Sequence[int]] = []
        self._scores: list[np.ndarray] = []

    def add(self, request: ScoreRequest, response: Any) -> None:
        """Takes the response to a request.

        Raises:
            ServingError: INTERNAL, if there isn't one score a row.
        """
        self._scores.append(request.scores(response))
        self._positions.append(request.positions)

    def in_order(self) -> np.ndarray:
        """Returns all scores in the order of the rows, float32 (n,)."""
        scores = np.empty(sum(map(len, self._positions)), np.float32)
        for positions, found in zip(self._positions, self._scores, strict=True):
            scores[positions] = found
        return scores

"""InfraValidator with a model server process of its own: no Docker, no Kubernetes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tfx.components.infra_validator import component, executor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.proto import infra_validator_pb2
from tfx.types import Artifact
from tfx.types.channel import BaseChannel

from pipeline.evaluation.scoring import failure, score
from serving.client.channel import open_channel
from serving.errors import ServingError, from_rpc_error
from serving.process import ServerProcess
from serving.signatures import (
    CONTEXT_SIGNATURE,
    DEFAULT_SIGNATURE,
    EXAMPLES,
    SCORE,
)
from serving.tensors import to_array

log = logging.getLogger("midpg.infra")

TOLERANCE = 1e-5
"""Largest difference of a served score and the model's own."""

REASON_KEY = "reason"
"""The blessing's property that says why a model was refused."""

_REQUEST_SECONDS = 30.0
_LOADING_SECONDS = 120
_REQUESTS = 100

_UNANSWERED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""What is found of a server that has ended, or of a machine that is too busy."""

_Request: TypeAlias = predict_pb2.PredictRequest | regression_pb2.RegressionRequest


class ProcessInfraValidatorExecutor(executor.Executor):
    """Starts the server on the model and compares its answers with the model's own."""

    def __init__(self, context: executor.Executor.Context | None = None) -> None:
        super().__init__(context)
        self._reason: str | None = None

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Validates, and notes the reason of a refusal for runs that find it cached."""
        super().Do(input_dict, output_dict, exec_properties)
        if self._reason is not None:
            (blessing,) = output_dict["blessing"]
            blessing.set_string_custom_property(REASON_KEY, self._reason)

    def _ValidateWithRetry(  # noqa: N802
        self,
        model_path: str,
        serving_binary: Any,
        serving_spec: infra_validator_pb2.ServingSpec,
        validation_spec: infra_validator_pb2.ValidationSpec,
        requests: Sequence[_Request],
    ) -> bool:
        """Validates once: a second try would find the same of a model.

        What it finds is cached, so a failure that isn't the model's raises.

        Raises:
            RuntimeError: If the server didn't start or didn't answer, on a model that
                scores by itself.
            MemoryError: If there is too little memory for the model.
            tf.errors.ResourceExhaustedError: The same, as TensorFlow tells it.
        """
        records = [_record(request) for request in requests]
        try:
            own = score(model_path, records)
        except (MemoryError, tf.errors.ResourceExhaustedError):
            raise
        except Exception as error:
            return self._refuse(error)
        try:
            with ServerProcess(
                model_name=serving_spec.model_name,
                model_base_path=Path(model_path).parent,
                startup_timeout=validation_spec.max_loading_time_seconds,
            ) as server:
                served = _served(server.target, requests)
        except (ServingError, OSError) as error:
            if isinstance(error, ServingError) and error.code not in _UNANSWERED:
                return self._refuse(error)
            raise RuntimeError(
                "gate infrastructure: expected the server to start and answer, as the"
                " model does by itself; nothing was pushed; run again, with memory and"
                f" disk to spare; found: {error}"
            ) from error
        difference = float(np.abs(served - own).max())
        if not difference <= TOLERANCE:  # NaN too
            return self._refuse(
                ValueError(
                    f"expected served scores within {TOLERANCE:g} of the model's own,"
                    f" found a difference of {difference:g}"
                )
            )
        log.info(
            "served %d requests, at most %.1g from the model's own scores",
            len(requests),
            difference,
        )
        return True

    def _refuse(self, error: Exception) -> bool:
        log.error("refused: gate infrastructure: the model can't serve: %s", error)
        self._reason = failure(error)
        return False


class ProcessInfraValidator(component.InfraValidator):
    """Refuses a model that can't answer real requests.

    A server that fails on a model which scores by itself is an error of the run.

    Args:
        model: The candidate.
        examples: Raw examples with a test split, of which requests are made.
        model_name: Name under which the model is served.

    Each example is asked for by Predict, and by Regress, as a client does with a
    context. The blessed model has the requests as its warm-up, in
    `assets.extra/tf_serving_warmup_requests`, so that neither is slow at first.
    """

    EXECUTOR_SPEC = ExecutorClassSpec(ProcessInfraValidatorExecutor)

    def __init__(
        self, model: BaseChannel, examples: BaseChannel, model_name: str
    ) -> None:
        super().__init__(
            model=model,
            examples=examples,
            serving_spec=infra_validator_pb2.ServingSpec(
                # The tag would choose an image; no platform is given to run one.
                tensorflow_serving=infra_validator_pb2.TensorFlowServing(
                    tags=["latest"]
                ),
                model_name=model_name,
            ),
            request_spec=infra_validator_pb2.RequestSpec(
                tensorflow_serving=infra_validator_pb2.TensorFlowServingRequestSpec(
                    signature_names=[DEFAULT_SIGNATURE, CONTEXT_SIGNATURE]
                ),
                split_name="test",
                num_examples=_REQUESTS,
                make_warmup=True,
            ),
            validation_spec=infra_validator_pb2.ValidationSpec(
                max_loading_time_seconds=_LOADING_SECONDS
            ),
        )


def _served(target: str, requests: Sequence[_Request]) -> np.ndarray:
    with open_channel(grpc, target, None, attempts=1) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            return np.concatenate([_answer(stub, request) for request in requests])
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error


def _answer(
    stub: prediction_service_pb2_grpc.PredictionServiceStub, request: _Request
) -> np.ndarray:
    if isinstance(request, predict_pb2.PredictRequest):
        predicted = stub.Predict(request, timeout=_REQUEST_SECONDS)
        return to_array(SCORE, predicted.outputs[SCORE])
    regressed = stub.Regress(request, timeout=_REQUEST_SECONDS)
    return np.array([one.value for one in regressed.result.regressions])


def _record(request: _Request) -> bytes:
    """Returns the one example of a request, serialized."""
    record: bytes
    if isinstance(request, predict_pb2.PredictRequest):
        (record,) = request.inputs[EXAMPLES].string_val
    else:
        record = request.input.example_list.examples[0].SerializeToString()
    return record

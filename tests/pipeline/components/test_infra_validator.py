"""A model must answer real requests as it answers by itself."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, regression_pb2
from tfx.proto import infra_validator_pb2
from tfx.types import channel_utils
from tfx.utils import proto_utils

from pipeline.components import infra_validator
from pipeline.components.infra_validator import (
    ProcessInfraValidator,
    ProcessInfraValidatorExecutor,
)
from pipeline.evaluation.scoring import score
from serving.embedded.server import ModelServer
from serving.errors import ServingError


@pytest.fixture(autouse=True)
def server_in_this_process(monkeypatch):
    """Spares a new process its start, which tests/serving and tests/e2e have."""
    asked = []

    @contextlib.contextmanager
    def serve(*, model_name, model_base_path, startup_timeout):
        asked.append((model_name, model_base_path, startup_timeout))
        with ModelServer(
            model_name,
            model_base_path,
            port=-1,
            isolate_models=False,
            max_num_load_retries=0,
        ) as server:
            yield server

    monkeypatch.setattr(infra_validator, "ServerProcess", serve)
    return asked


@pytest.fixture
def validate(tmp_path, write_examples, make_rows):
    examples = write_examples(tmp_path / "examples", make_rows(5))
    requests = []
    for example in examples:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "shop"
        request.inputs["examples"].dtype = types_pb2.DT_STRING
        request.inputs["examples"].tensor_shape.dim.add(size=1)
        request.inputs["examples"].string_val.append(example)
        requests.append(request)
    regression = regression_pb2.RegressionRequest()
    regression.model_spec.name = "shop"
    regression.model_spec.signature_name = "regress"
    regression.input.example_list.examples.add().ParseFromString(examples[0])
    requests.append(regression)

    def run(model):
        # As TFX lays it out: a folder of versions.
        path = tmp_path / "shop" / "1"
        shutil.copytree(model / "Format-Serving", path)
        return ProcessInfraValidatorExecutor()._ValidateWithRetry(
            model_path=str(path),
            serving_binary=None,
            serving_spec=infra_validator_pb2.ServingSpec(model_name="shop"),
            validation_spec=infra_validator_pb2.ValidationSpec(
                max_loading_time_seconds=120
            ),
            requests=requests,
        )

    return run


def test_a_model_that_answers_passes(
    validate, scorers, caplog, server_in_this_process, tmp_path
):
    with caplog.at_level(logging.INFO, "midpg.infra"):
        assert validate(scorers(1.0))
    assert caplog.messages[-1].startswith("served 6 requests, at most ")
    assert server_in_this_process == [("shop", tmp_path / "shop", 120)]


def test_a_model_that_answers_otherwise_is_refused(validate, scorers, caplog):
    assert not validate(scorers(1.0, noise=0.1))
    assert "refused: gate infrastructure: the model can't serve: exp" in caplog.text
    assert "within 1e-05 of the model's own, found a difference" in caplog.text


@pytest.mark.parametrize(
    "errors",
    # On the average, neither is a difference.
    # The last one is the request of the method Regress.
    [[3e-5, 0, 0, 0, 0, 0], [0.1, -0.1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.1]],
)
def test_one_row_that_is_answered_otherwise_is_enough(
    validate, scorers, monkeypatch, caplog, errors
):
    monkeypatch.setattr(
        infra_validator,
        "score",
        lambda path, records: score(path, records) + np.array(errors),
    )
    assert not validate(scorers(1.0))
    assert f"found a difference of {max(errors):.0g}" in caplog.text


def test_a_model_that_answers_no_number_is_refused(validate, scorers, caplog):
    assert not validate(scorers(float("nan")))
    assert "found a difference of nan" in caplog.text


def test_a_model_that_cannot_be_loaded_is_refused(validate, tmp_path, caplog):
    broken = tmp_path / "broken"
    (broken / "Format-Serving").mkdir(parents=True)
    (broken / "Format-Serving" / "saved_model.pb").write_bytes(b"half")
    assert not validate(broken)
    assert "refused: gate infrastructure: the model can't serve: " in caplog.text
    assert "saved_model.pb" in caplog.text


@pytest.mark.parametrize(
    "error",
    [MemoryError("none left"), tf.errors.ResourceExhaustedError(None, None, "OOM")],
)
def test_a_lack_of_memory_says_nothing_of_the_model(
    validate, scorers, monkeypatch, caplog, error
):
    monkeypatch.setattr(infra_validator, "score", Mock(side_effect=error))
    with pytest.raises(type(error)):
        validate(scorers(1.0))
    assert "refused" not in caplog.text


def test_the_reason_is_noted_for_runs_that_find_the_refusal_in_the_cache(
    artifact, tmp_path
):
    model, blessing = artifact("Model"), artifact("InfraBlessing")
    broken = Path(model.uri) / "Format-Serving"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"half")
    component = ProcessInfraValidator(
        model=channel_utils.as_channel([model]),
        examples=channel_utils.as_channel([artifact("Examples")]),
        model_name="shop",
    )
    context = ProcessInfraValidatorExecutor.Context(
        tmp_dir=str(tmp_path), unique_id="1"
    )
    ProcessInfraValidatorExecutor(context).Do(
        {"model": [model]}, {"blessing": [blessing]}, component.exec_properties
    )
    assert blessing.get_int_custom_property("blessed") == 0
    reason = blessing.get_string_custom_property("reason")
    assert reason.startswith("Cannot parse file")


def test_a_model_that_needs_another_feature_is_refused(validate, scorers, caplog):
    assert not validate(scorers(1.0, "age"))
    assert "refused: gate infrastructure: the model can't serve: " in caplog.text
    assert "age" in caplog.text


def test_a_request_that_the_server_alone_refuses_is_the_models(
    validate, scorers, monkeypatch, caplog
):
    monkeypatch.setattr(infra_validator, "score", lambda path, records: np.zeros(5))
    assert not validate(scorers(1.0, "age"))
    assert "refused: gate infrastructure: the model can't serve: " in caplog.text
    assert "age" in caplog.text


@pytest.mark.parametrize("when", ["no memory", "killed", "killed later"])
def test_a_server_that_fails_says_nothing_of_the_model(
    validate, scorers, monkeypatch, caplog, when
):
    """What is said of the model would be cached, and refuse it for ever."""

    @contextlib.contextmanager
    def serve(**arguments):
        if when == "no memory":
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        if when == "killed":
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "ended with exit code -9")
        yield SimpleNamespace(target="127.0.0.1:1")  # where nobody listens

    monkeypatch.setattr(infra_validator, "ServerProcess", serve)
    found = {"no memory": "Cannot allocate", "killed": "-9", "killed later": ":1: "}
    with pytest.raises(RuntimeError, match="nothing was pushed; run again") as caught:
        validate(scorers(1.0))
    assert found[when] in str(caught.value).partition("found: ")[2]
    assert "refused" not in caplog.text


def test_requests_are_made_of_test_rows_and_become_the_warm_up(artifact):
    component = ProcessInfraValidator(
        model=channel_utils.as_channel([artifact("Model")]),
        examples=channel_utils.as_channel([artifact("Examples")]),
        model_name="shop",
    )
    request = infra_validator_pb2.RequestSpec()
    proto_utils.json_to_proto(component.exec_properties["request_spec"], request)
    assert request.split_name == "test"
    assert request.make_warmup
    assert request.num_examples >= 50
    # As clients without a context ask, and with one.
    assert list(request.tensorflow_serving.signature_names) == [
        "serving_default",
        "regress",
    ]

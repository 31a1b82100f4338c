"""Several models, policies, labels and another configuration, over a real port."""

import contextlib
import threading
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    model_management_pb2,
    regression_pb2,
)

from serving.embedded.server import ModelServer
from serving.errors import ServingError

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture
def root(models, publish, tmp_path):
    """Model a in versions 1 (x / 2 + 2) and 2 (x / 2 + 3), model b in version 1."""
    publish(models.half_plus_two, tmp_path / "a", 1)
    publish(models.half_plus_three, tmp_path / "a", 2)
    publish(models.half_plus_two, tmp_path / "b", 1)
    return tmp_path


ALL = "all {}"


@pytest.fixture
def start(root, serve, connect, write_config):
    """Starts a server of some entries of a configuration; gives its stubs."""

    def start(*entries, **options):
        config = write_config(root / "models.config", *entries)
        server = serve(model_config_file=str(config), **options)
        return SimpleNamespace(server=server, **vars(connect(server.target)))

    return start


def test_labels_move_by_a_reload(
    root, start, entry, reload, states, score, error_of, eventually
):
    stubs = start(entry(root, "a", ALL))
    eventually(lambda: states(stubs, "a") == {1: 30, 2: 30})
    assert error_of(score, stubs, "a", label="stable") == (
        INVALID,
        "Unrecognized servable version label: stable",
    )

    for stable in (1, 2):
        response = reload(stubs, entry(root, "a", ALL, stable=stable, canary=2))
        assert response.status.error_code == 0
        assert score(stubs, "a", label="stable") == 1 + stable
        assert score(stubs, "a", label="canary") == 3


def test_a_label_of_a_version_that_does_not_serve(
    root, start, entry, reload, states, score, error_of, eventually
):
    stubs = start(entry(root, "a", ALL))
    eventually(lambda: states(stubs, "a") == {1: 30, 2: 30})
    reload(stubs, entry(root, "a", ALL, stable=1))

    assert error_of(reload, stubs, entry(root, "a", ALL, stable=7)) == (
        PRECONDITION,
        "Request to assign label to version 7 of model a, which is not currently"
        " available for inference",
    )
    assert score(stubs, "a", label="stable") == 2


def test_a_new_label_may_wait_for_its_version_if_allowed(
    root, start, entry, reload, score, error_of
):
    labelled = entry(root, "a", ALL, canary=3)
    with pytest.raises(ServingError, match="not currently available"):
        start(labelled)

    stubs = start(labelled, allow_version_labels_for_unavailable_models=True)

    assert error_of(score, stubs, "a", label="canary") == (
        NOT_FOUND,
        "Servable not found for request: Specific(a, 3)",
    )
    # A label that is in use can't be moved to what isn't there.
    code, _ = error_of(reload, stubs, entry(root, "a", ALL, canary=4))
    assert code is PRECONDITION


def test_a_reload_replaces_the_whole_configuration(
    root, start, entry, reload, score, error_of
):
    stubs = start(entry(root, "a"))

    reload(stubs, entry(root, "b"))

    assert score(stubs, "b") == 2
    assert error_of(score, stubs, "a") == (
        NOT_FOUND,
        "Servable not found for request: Latest(a)",
    )


def test_a_reload_of_a_model_without_versions(
    root, start, entry, reload, score, error_of
):
    stubs = start(entry(root, "a"))
    (root / "none").mkdir()

    code, message = error_of(reload, stubs, entry(root, "a"), entry(root, "none"))

    assert code is grpc.StatusCode.UNKNOWN
    assert message == "Some models did not become available: {none}"
    assert score(stubs, "a") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Only ModelConfigList is currently supported"),
        ("model_config_list { config { name: 'a' base_path: '/x' } }", "neither"),
        (
            "model_config_list { config { name: 'a' base_path: '/x'"
            " model_platform: 'x' } }",
            "requests unsupported platform x",
        ),
        (
            "model_config_list { config { name: 'a' base_path: 'x'"
            " model_platform: 'tensorflow' } }",
            "Expected model a to have an absolute path or URI; got base_path()=x",
        ),
        (
            "model_config_list {"
            + " config { name: 'a' base_path: '/x' model_platform: 'tensorflow' }" * 2
            + "}",
            "Illegal to list model a multiple times in config list",
        ),
    ],
)
def test_an_illegal_reload_changes_nothing(
    root, start, entry, score, error_of, text, message
):
    stubs = start(entry(root, "a"))
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)

    code, details = error_of(stubs.models.HandleReloadConfigRequest, request)

    assert code is INVALID
    assert message in details
    assert score(stubs, "a") == 3


def test_a_reload_that_failed_is_one_line_in_the_log(
    root, start, entry, reload, error_of, caplog
):
    stubs = start(entry(root, "a"))
    forged = r"x\n2026-11-27 00:00:00,000 INFO serving: model a is gone"

    error_of(reload, stubs, *[entry(root, forged)] * 2)

    (line,) = [text for text in caplog.messages if "ReloadConfig failed" in text]
    assert "Illegal to list model x 2026-11-27 00:00:00,000 INFO" in line
    assert "\n" not in line


def test_the_file_is_polled(
    root, start, entry, write_config, states, score, eventually, caplog
):
    stubs = start(entry(root, "a"), model_config_file_poll_wait_seconds=0.05)

    (root / "models.config").write_text("model_config_list { nonsense")
    eventually(lambda: "Invalid protobuf file" in caplog.text)
    assert caplog.text.count("was not applied") == 1
    assert score(stubs, "a") == 3

    write_config(root / "models.config", entry(root, "a"), entry(root, "b"))
    eventually(lambda: set(stubs.server.models.names) == {"a", "b"})

    def serves_b():
        # Until its versions have been looked for, it has none.
        with contextlib.suppress(grpc.RpcError):
            return states(stubs, "b") == {1: 30}
        return False

    eventually(serves_b)
    assert score(stubs, "b") == 2


def test_another_base_path_takes_over_once_it_serves(root, start, entry, reload, score):
    stubs = start(entry(root, "a"))

    reload(stubs, entry(root, "a").replace(str(root / "a"), str(root / "b")))

    assert score(stubs, "a") == 2


def test_a_model_that_does_not_load_leaves_the_others(
    root, start, entry, states, score, error_of, models, publish
):
    publish(models.half_plus_two, root / "bad", 1, truncated=True)

    stubs = start(entry(root, "bad"), entry(root, "b"))

    assert score(stubs, "b") == 2
    assert states(stubs, "bad") == {1: 50}
    assert error_of(score, stubs, "bad")[0] is NOT_FOUND


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_the_ports_open_with_any_model(
    root, start, entry, score, models, publish, damaged
):
    (root / "first").mkdir()
    (root / "late").mkdir()
    if damaged:
        publish(models.half_plus_two, root / "first", 1, truncated=True)
    pushing = threading.Timer(1.0, publish, (models.half_plus_two, root / "late", 1))
    pushing.start()

    stubs = start(entry(root, "first"), entry(root, "late"))

    pushing.join()
    assert score(stubs, "late") == 2


def test_no_model_that_serves_in_time(tmp_path, entry, write_config):
    entries = [entry(tmp_path, name) for name in ("first", "late")]
    config = write_config(tmp_path / "models.config", *entries)
    server = ModelServer(model_config_file=str(config), port=-1, isolate_models=False)

    with pytest.raises(
        ServingError, match=r"no version of first, late was loaded in 0\.3 s"
    ) as caught:
        server.start(timeout=0.3)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_an_older_version_stands_in_for_one_that_does_not_load(
    root, start, entry, states, score, models, publish
):
    publish(models.half_plus_two, root / "a", 3, truncated=True)

    stubs = start(entry(root, "a"))

    assert score(stubs, "a") == 3
    assert states(stubs, "a") == {3: 50, 2: 30}


def test_a_config_file_that_is_missing(tmp_path):
    with pytest.raises(ServingError, match="can't be read: No such file") as caught:
        ModelServer(model_config_file=str(tmp_path / "none"))
    assert caught.value.code is NOT_FOUND


@pytest.fixture
def examples(models, publish, serve, connect, tmp_path):
    publish(models.examples, tmp_path, 1)
    return connect(serve(tmp_path).target).predictions


def fill(request, *values, signature="", context=None):
    if hasattr(request, "model_spec"):
        request.model_spec.name = "m"
        request.model_spec.signature_name = signature
    target = request.input.example_list.examples
    if context is not None:
        listed = request.input.example_list_with_context
        listed.context.features.feature["x"].float_list.value.append(context)
        target = listed.examples
    for value in values:
        example = target.add()
        if value is not None:
            example.features.feature["x"].float_list.value.append(value)
    return request


def test_classify(examples):
    request = fill(
        classification_pb2.ClassificationRequest(), 1.0, signature="classify"
    )

    response = examples.Classify(request, timeout=10)

    (row,) = response.result.classifications
    assert [(c.label, c.score) for c in row.classes] == [("low", 1.0), ("high", -1.0)]
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "classify"


def test_regress_with_a_context(examples):
    request = fill(
        regression_pb2.RegressionRequest(), None, 3.0, signature="regress", context=5.0
    )

    response = examples.Regress(request, timeout=10)

    assert [r.value for r in response.result.regressions] == [3.5, 2.5]


def multi(*tasks, model="m"):
    request = fill(inference_pb2.MultiInferenceRequest(), 1.0)
    for signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    return request


def test_multi_inference(examples):
    response = examples.MultiInference(
        multi(("regress", "regress"), ("classify", "classify")), timeout=10
    )

    value, classes = response.results
    assert [r.value for r in value.regression_result.regressions] == [1.5]
    (row,) = classes.classification_result.classifications
    assert [c.score for c in row.classes] == [1.0, -1.0]
    assert value.model_spec.version.value == 1
    assert value.model_spec.signature_name == "regress"


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ([], INVALID, "ModelSpec has no name specified."),
        (
            [("regress", "regress")] * 2,
            INVALID,
            "Duplicate evaluation of signature: regress",
        ),
        (
            [("none", "regress")],
            INVALID,
            "Requested signature not found in model graph: none",
        ),
        (
            [("regress", "predict")],
            grpc.StatusCode.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            [("classify", "regress")],
            INVALID,
            "Expected regression signature method_name to be"
            " tensorflow/serving/regress. Was: tensorflow/serving/classify",
        ),
    ],
)
def test_multi_inference_refuses(examples, error_of, tasks, code, message):
    assert error_of(examples.MultiInference, multi(*tasks)) == (code, message)


def test_classify_and_regress_refuse(examples, error_of):
    request = classification_pb2.ClassificationRequest
    assert error_of(examples.Classify, request()) == (INVALID, "Missing ModelSpec")
    assert error_of(examples.Classify, fill(request(), signature="classify")) == (
        INVALID,
        "Input is empty.",
    )
    assert error_of(examples.Classify, fill(request(), 1.0, signature="s")) == (
        INVALID,
        "No signature was found with the name: s",
    )
    assert error_of(examples.Classify, fill(request(), 1.0)) == (
        INVALID,
        "Expected classification signature method_name to be"
        " tensorflow/serving/classify. Was: tensorflow/serving/predict",
    )
    code, message = error_of(
        examples.Regress,
        fill(regression_pb2.RegressionRequest(), None, signature="regress"),
    )
    assert code is INVALID
    assert "Feature: x (data type: float) is required" in message

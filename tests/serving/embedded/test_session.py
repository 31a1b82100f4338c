"""Loading of SavedModels, sound and damaged."""

import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.client import pywrap_tf_session

from serving.embedded.session import SavedModelSession
from serving.errors import ServingError


def error_of(path):
    with pytest.raises(ServingError) as caught:
        SavedModelSession(str(path))
    return caught.value


def test_signatures_are_told(models):
    session = SavedModelSession(str(models.half_plus_two))

    assert set(session.signatures) >= {"serving_default", "fail", "sleep", "add"}
    session.close()


def test_truncated_graph(models, publish, tmp_path):
    error = error_of(publish(models.half_plus_two, tmp_path, 1, truncated=True))

    assert error.code is grpc.StatusCode.DATA_LOSS
    assert "saved_model.pb as binary proto" in error.message


def test_empty_graph(models, publish, tmp_path):
    path = publish(models.half_plus_two, tmp_path, 1)
    (path / "saved_model.pb").write_bytes(b"")

    error = error_of(path)

    assert error.code is grpc.StatusCode.NOT_FOUND
    assert "tags" in error.message


def test_truncated_variables(models, publish, tmp_path):
    path = publish(models.half_plus_two, tmp_path, 1)
    data = path / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:3])

    error = error_of(path)

    assert error.code is grpc.StatusCode.OUT_OF_RANGE
    assert "Read less bytes than requested" in error.message


def test_missing_directory(tmp_path):
    error = error_of(tmp_path / "none")

    assert error.code is grpc.StatusCode.NOT_FOUND
    assert str(tmp_path / "none") in error.message


def test_unknown_tags(models):
    with pytest.raises(ServingError, match="tpu") as caught:
        SavedModelSession(str(models.half_plus_two), tags=["tpu"])
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


@pytest.fixture
def opened(models):
    session = SavedModelSession(str(models.half_plus_two))
    yield session
    session.close()


def names(session, signature, output):
    definition = session.signatures[signature]
    feeds = [definition.inputs[alias].name for alias in sorted(definition.inputs)]
    return feeds, [definition.outputs[output].name]


def test_a_tensor_that_is_not_in_the_graph(opened):
    with pytest.raises(ServingError, match="nothing:0") as caught:
        opened.runner(["nothing:0"], [])
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_a_graph_that_needs_no_start(models):
    session = SavedModelSession(str(models.tagged))

    (y,) = session.runner(*names(session, "serving_default", "y"))(
        [np.array([2.0], np.float32)], 0
    )

    assert y.tolist() == [2.0]
    session.close()


def test_a_tensor_that_is_both_fed_and_fetched(opened):
    feeds, _ = names(opened, "serving_default", "y")

    with pytest.raises(ServingError, match="both fed and fetched") as caught:
        opened.runner(feeds, feeds)([np.array([1.0], np.float32)], 0)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_preparing_runs_nothing(opened, monkeypatch):
    feeds, fetches = names(opened, "serving_default", "y")
    errors, run = [], opened._session._call_tf_sessionrun

    def keep(*arguments):
        try:
            return run(*arguments)
        except tf.errors.OpError as error:
            errors.append(error)
            raise

    monkeypatch.setattr(opened._session, "_call_tf_sessionrun", keep)
    opened.runner(feeds, fetches)

    (error,) = errors
    assert isinstance(error, tf.errors.InvalidArgumentError)
    assert error.message.startswith("Invalid inter_op_thread_pool")


def test_a_run_that_takes_too_long_is_cancelled(opened):
    run = opened.runner(*names(opened, "sleep", "turns"))

    with pytest.raises(ServingError) as caught:
        run([np.array(60.0)], 50)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    (turns,) = run([np.array(0.0)], 60_000)
    assert turns == 0


@pytest.fixture
def inline(models):
    session = SavedModelSession(str(models.half_plus_two), inline=True)
    yield session
    session.close()


def test_only_short_runs_that_end_by_themselves_are_inline(inline, monkeypatch):
    options, new_buffer = [], pywrap_tf_session.TF_NewBufferFromString

    def keep(content):
        options.append(config_pb2.RunOptions.FromString(content))
        return new_buffer(content)

    y = inline.runner(*names(inline, "serving_default", "y"))
    sleep = inline.runner(*names(inline, "sleep", "turns"))
    monkeypatch.setattr(pywrap_tf_session, "TF_NewBufferFromString", keep)

    assert y([np.full(256, 2.0, np.float32)], 1000)[0].tolist() == [3.0] * 256
    assert y([np.full(257, 2.0, np.float32)], 2000)[0].tolist() == [3.0] * 257
    assert sleep([np.array(0.0)], 3000)[0] == 0

    found = [(one.inter_op_thread_pool, one.timeout_in_ms) for one in options]
    assert found == [(-1, 0), (0, 2000), (0, 3000)]


def test_errors_of_inline_runs(inline):
    fail = inline.runner(*names(inline, "fail", "y"))

    with pytest.raises(ServingError, match="too large") as caught:
        fail([np.array([11.0], np.float32)], 0)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert fail([np.array([9.0], np.float32)], 0)[0].tolist() == [9.0]


def test_a_run_of_which_nothing_is_kept(opened):
    part = names(opened, "add", "sum")
    arrays = [np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0], np.float32)]

    (found,) = opened.run_once(*part, arrays, 60_000)
    assert found.tolist() == opened.runner(*part)(arrays, 0)[0].tolist() == [4.0, 6.0]

    with pytest.raises(ServingError) as caught:
        opened.run_once(*names(opened, "sleep", "turns"), [np.array(60.0)], 50)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


class Note(tf.Module):
    @tf.function(input_signature=[])
    def note(self):
        return {"note": tf.constant(b"new\x00")}


def test_a_string_that_is_a_scalar_is_an_array(tmp_path):
    module = Note()
    tf.saved_model.save(module, str(tmp_path), signatures=module.note)
    session = SavedModelSession(str(tmp_path))
    part = names(session, "serving_default", "note")

    for (found,) in (session.runner(*part)([], 0), session.run_once(*part, [], 0)):
        assert (found.shape, found.tolist()) == ((), b"new\x00")
    session.close()


def test_runs_end_with_the_session(opened):
    run = opened.runner(*names(opened, "sleep", "turns"))
    threading.Timer(0.2, opened.abort).start()

    with pytest.raises(ServingError) as caught:
        run([np.array(60.0)], 0)
    assert caught.value.code is grpc.StatusCode.CANCELLED
    opened.close()
    with pytest.raises(ServingError, match="unloaded"):
        opened.runner(*names(opened, "serving_default", "y"))

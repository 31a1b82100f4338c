"""A model in a process of its own, also one that hangs or ends."""

import os
import shutil
import signal
import threading
import time
from multiprocessing import util
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
import requests
from google.protobuf.message import EncodeError

from serving.embedded import isolation
from serving.embedded.isolation import IsolatedModel
from serving.embedded.model import ModelOptions
from serving.embedded.server import ModelServer
from serving.embedded.session import Threads
from serving.errors import ServingError

pytestmark = pytest.mark.e2e


@pytest.fixture
def isolate(models):
    """Loads a model that takes two requests at a time."""
    loaded = []

    def load(**options):
        model = IsolatedModel(
            str(models.half_plus_two),
            ModelOptions(**options),
            connections=2,
            cancelled=lambda: False,
            on_failure=lambda: None,
        )
        loaded.append(model)
        return model

    yield load
    for model in loaded:
        model.abort()
        model.close()


@pytest.fixture
def model(isolate):
    """A model that takes two requests at a time."""
    return isolate()


@pytest.fixture
def stop(eventually):
    """Stops a model's process, and waits for each of its threads to have stopped.

    One that goes on for a moment would take a request, or send an answer, whole.
    """

    def states(model):
        tasks = Path(f"/proc/{model._process.pid}/task").iterdir()
        return {
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks
        }

    def stop(model):
        os.kill(model._process.pid, signal.SIGSTOP)
        eventually(lambda: states(model) == {"T"})

    return stop


def test_an_interrupt_of_the_terminal_is_the_servers(model, predict_request):
    os.kill(model._process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert model.call("Predict", predict_request({"x": [1.0]}), 5.0)


def test_a_request_without_a_deadline_does_not_hide_that_it_hangs(
    model, stop, predict_request, monkeypatch, eventually
):
    monkeypatch.setattr(isolation, "HANGING_AFTER", 0.2)
    request = predict_request({"x": [1.0]})
    codes = []

    def ask(timeout=None):
        try:
            model.call("Predict", request, timeout)
        except ServingError as error:
            codes.append(error.code)

    patient = threading.Thread(target=ask)
    try:
        stop(model)
        patient.start()
        eventually(lambda: len(model._free) == 1)
        ask(timeout=0.01)
        ask(timeout=0.01)
        time.sleep(0.2)
        ask(timeout=0.01)
    finally:
        model.abort()
        patient.join()

    unavailable = grpc.StatusCode.UNAVAILABLE
    assert codes[:2] == [
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ]
    assert codes[2:] == [unavailable, unavailable]


@pytest.fixture
def abandon(model, predict_request, eventually):
    """Leaves answers on all connections, of more than these hold."""
    large = predict_request({"x": [1.0] * 300_000}).SerializeToString()

    def abandon():
        for connection in [model._take(), model._take()]:
            connection.send(("Predict", large, None))
            model._abandoned[connection] = time.monotonic()
        eventually(lambda: all(one.poll() for one in model._abandoned))

    return abandon


def test_it_hangs_although_it_has_not_taken_a_whole_request(
    model, stop, predict_request, monkeypatch
):
    monkeypatch.setattr(isolation, "HANGING_AFTER", 0.2)
    monkeypatch.setattr(isolation, "_LOOK_EVERY", 0.1)
    stop(model)

    with pytest.raises(ServingError, match="process ended: SIGKILL") as caught:
        model.call("Predict", predict_request({"x": [1.0] * 300_000}), 0.1)

    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_it_hangs_although_it_has_begun_to_answer(
    model, stop, predict_request, monkeypatch, abandon
):
    monkeypatch.setattr(isolation, "HANGING_AFTER", 0.2)
    monkeypatch.setattr(isolation, "_LOOK_EVERY", 0.1)
    abandon()
    stop(model)

    with pytest.raises(ServingError, match="process ended: SIGKILL") as caught:
        model.call("Predict", predict_request({"x": [1.0]}), 60.0)

    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_an_answer_that_nobody_fetched_for_long_is_no_sign_that_it_hangs(
    model, stop, predict_request, monkeypatch, abandon
):
    monkeypatch.setattr(isolation, "_LOOK_EVERY", 0.1)
    abandon()
    for connection in model._abandoned:
        model._abandoned[connection] -= 2 * isolation.HANGING_AFTER
    stop(model)
    # Longer than its watch has been told to wait before.
    threading.Timer(1.3, os.kill, (model._process.pid, signal.SIGCONT)).start()

    answer = model.call("Predict", predict_request({"x": [1.0]}), 10.0)

    assert list(answer.outputs["y"].float_val) == [2.5]


def test_late_answers_make_room(model, predict_request, abandon):
    abandon()

    for _ in range(3):
        answer = model.call("Predict", predict_request({"x": [1.0]}), 10.0)
        assert list(answer.outputs["y"].float_val) == [2.5]


def test_each_request_is_told_that_it_has_ended(model, predict_request, eventually):
    os.kill(model._process.pid, signal.SIGKILL)
    eventually(model._ended.is_set)

    # One more than it has connections.
    for _ in range(3):
        with pytest.raises(ServingError, match="process ended: SIGKILL") as caught:
            model.call("Predict", predict_request({"x": [1.0]}))
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_request_that_is_too_long_takes_no_connection(model, predict_request):
    def fail():
        raise EncodeError("more than 2 GiB")

    for _ in range(2):
        with pytest.raises(EncodeError):
            model.call("Predict", SimpleNamespace(SerializeToString=fail))

    response = model.call("Predict", predict_request({"x": [1.0]}))
    assert list(response.outputs["y"].float_val) == [2.5]


def test_the_threads_of_a_model(isolate, eventually):
    def names(model):
        tasks = Path(f"/proc/{model._process.pid}/task").iterdir()
        return [(task / "comm").read_text().strip() for task in tasks]

    few, many = (isolate(threads=Threads(intra_op, 7)) for intra_op in (2, 11))

    # TensorFlow names the threads of this pool alone.
    assert names(few).count("tf_Compute") == names(many).count("tf_Compute") == 7
    eventually(lambda: len(names(many)) - len(names(few)) == 11 - 2)


def test_a_load_that_is_cancelled_ends_at_once(
    models, publish, tmp_path, predict_request, write_warmup
):
    path = publish(models.half_plus_two, tmp_path, 1)
    write_warmup(path, predict_request({"seconds": 60.0}, signature="sleep"))
    started = time.monotonic()

    with pytest.raises(ServingError, match="the load was cancelled"):
        IsolatedModel(
            str(path),
            ModelOptions(),
            connections=2,
            cancelled=lambda: time.monotonic() > started + 0.5,
            on_failure=lambda: None,
        )

    assert time.monotonic() - started < 4


def test_the_folder_of_temporary_files_may_be_cleaned(
    models, predict_request, eventually
):
    def load(path, on_failure=lambda: None):
        return IsolatedModel(
            str(path),
            ModelOptions(),
            connections=2,
            cancelled=lambda: False,
            on_failure=on_failure,
        )

    def y(model):
        response = model.call("Predict", predict_request({"x": [0.0]}))
        return list(response.outputs["y"].float_val)

    failed = threading.Event()
    old = load(models.half_plus_two, failed.set)
    shutil.rmtree(util.get_temp_dir())

    new, newer = load(models.half_plus_three), load(models.half_plus_three)
    assert (y(old), y(new), y(newer)) == ([2.0], [3.0], [3.0])

    # One is enough for both.
    assert parent(new) == parent(newer) != parent(old)
    os.kill(old._process.pid, signal.SIGKILL)
    eventually(failed.is_set)
    for model in (old, new, newer):
        model.close()


def parent(model):
    """The process that forked the model's."""
    stat = Path(f"/proc/{model._process.pid}/stat").read_text(encoding="ascii")
    return int(stat.rpartition(")")[2].split()[1])


def test_an_isolated_model_answers_as_one_in_the_server(
    base, serve, connect, predict_request
):
    server = serve(base, isolate_models=True, rest_api_port=-1)
    stubs = connect(server.target).predictions
    response = stubs.Predict(predict_request({"x": [1.0]}))
    assert list(response.outputs["y"].float_val) == [2.5]
    call = stubs.Predict.future(predict_request({"x": [11.0]}, signature="fail"))
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "too large" in call.details()
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m/metadata"
    assert "serving_default" in requests.get(url, timeout=10).text


def test_an_isolated_model_that_does_not_load(models, publish, tmp_path, serve):
    publish(models.half_plus_two, tmp_path, 1, truncated=True)

    with pytest.raises(ServingError, match="Can't parse") as caught:
        serve(tmp_path, isolate_models=True)
    assert caught.value.code is grpc.StatusCode.DATA_LOSS


def codes_until_ok(stubs, request):
    deadline, found = time.monotonic() + 20, set()
    while time.monotonic() < deadline:
        code = stubs.Predict.future(request, timeout=10).code()
        if code is grpc.StatusCode.OK:
            return found
        found.add(code)
        time.sleep(0.05)
    raise AssertionError(f"still {found}")


def test_a_crash_leaves_the_other_models(
    models, publish, tmp_path, entry, write_config, connect, predict_request, eventually
):
    publish(models.crasher, tmp_path / "crasher", 1)
    publish(models.half_plus_two, tmp_path / "m", 1)
    entries = [entry(tmp_path, name) for name in ("crasher", "m")]
    config = write_config(tmp_path / "models.config", *entries)
    with ModelServer(
        model_config_file=str(config), port=-1, isolate_models=True
    ) as server:
        stubs = connect(server.target).predictions
        good = predict_request({"x": [1.0]})
        fine = predict_request({"x": [1.0]}, model="crasher")
        crash = predict_request({"x": [1.0]}, model="crasher", signature="crash")
        stubs.Predict(fine, timeout=10)

        call = stubs.Predict.future(crash, timeout=10)

        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert "SIGABRT" in call.details()
        # The second crash has a pause, in which a client is told to try again.
        eventually(
            lambda: stubs.Predict.future(fine, timeout=10).code() is grpc.StatusCode.OK
        )
        stubs.Predict.future(crash, timeout=10).code()
        call = stubs.Predict.future(fine, timeout=10)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert "crash" in call.details() or "ended" in call.details()
        assert codes_until_ok(stubs, fine) <= {grpc.StatusCode.UNAVAILABLE}
        assert list(stubs.Predict(good).outputs["y"].float_val) == [2.5]
        # It is back by itself.
        eventually(
            lambda: stubs.Predict.future(fine, timeout=10).code() is grpc.StatusCode.OK
        )


def test_a_hanging_model_leaves_the_others(
    base, serve, connect, predict_request, eventually
):
    server = serve(
        base, isolate_models=True, max_running_per_model=2, max_waiting_per_model=0
    )
    stubs = connect(server.target).predictions
    slow = predict_request({"seconds": 0.4}, signature="sleep")
    calls = [stubs.Predict.future(slow, timeout=0.1) for _ in range(2)]
    assert [call.code() for call in calls] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2
    # Both processes' ends come free when the run is cancelled.
    quick = predict_request({"x": [1.0]})
    ask, exhausted = stubs.Predict.future, grpc.StatusCode.RESOURCE_EXHAUSTED
    eventually(lambda: ask(quick, timeout=5).code() is not exhausted)
    response = stubs.Predict(quick, timeout=5)
    assert list(response.outputs["y"].float_val) == [2.5]

"""Models that come, move and go, or hang meanwhile: what is answered, and when."""

import threading
import time
from types import SimpleNamespace

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2

import serving.embedded.registry
from serving.embedded.admission import Cancellation
from serving.embedded.lifecycle import LoadOptions
from serving.embedded.registry import ModelRegistry
from serving.errors import ServingError
from serving.model_config import ModelConfig
from serving.policies import All


@pytest.fixture
def config(tmp_path):
    """Makes the configuration of a model with a version 1, at a path of its own."""

    def make(name, path):
        version = tmp_path / path / "1"
        version.mkdir(parents=True, exist_ok=True)
        (version / "saved_model.pb").write_bytes(b"x")
        return {name: ModelConfig(name, str(tmp_path / path))}

    return make


@pytest.fixture
def loads():
    """What lets the loads of paths with `slow` in them end."""
    return threading.Event()


@pytest.fixture
def registry(loads):
    def load(path, *, cancelled, on_failure):
        while "slow" in path and not loads.wait(0.01):
            if cancelled():
                raise ServingError(grpc.StatusCode.CANCELLED, "no longer wanted")
        time.sleep(0.1 if "delayed" in path else 0)
        return Located(path)

    options = LoadOptions(0.05, max_num_load_retries=0, load_retry_interval_micros=0)
    found = ModelRegistry(
        load, options, running=1, waiting=4, allow_unavailable_labels=False
    )
    yield found
    found.stop()


class Located(SimpleNamespace):
    """A model that knows where it was loaded from."""

    def __init__(self, path):
        super().__init__(path=path, signatures={}, warmup_records=0)

    __hash__ = object.__hash__

    def call(self, method, request, timeout):
        response = predict_pb2.PredictResponse()
        response.outputs["path"].string_val.append(self.path.encode())
        return response

    def close(self):
        """Nothing to free."""

    def abort(self):
        """Nothing to end."""


def path_of(registry, name, label="", **settings):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    if label:
        request.model_spec.version_label = label
    with registry.lease(request, **settings) as servable:
        response = servable.call("Predict", request)
    return response.outputs["path"].string_val[0].decode()


def test_a_start_does_not_wait_for_one_that_hangs(registry, config, loads, monkeypatch):
    monkeypatch.setattr(serving.embedded.registry, "OTHERS_WAIT", 0.2)
    started = time.monotonic()

    registry.start(config("b", "slow") | config("a", "quick"), timeout=60)

    assert time.monotonic() - started < 5
    assert path_of(registry, "a").endswith("quick/1")
    with pytest.raises(ServingError, match="Servable not found"):
        path_of(registry, "b")
    loads.set()
    eventually(lambda: path_of(registry, "b").endswith("slow/1"))


def test_a_start_can_be_cancelled(registry, config):
    asked = iter([False, False])

    with pytest.raises(ServingError, match="stopped before a model") as caught:
        registry.start(config("slow", "slow"), cancelled=lambda: next(asked, True))

    assert caught.value.code is grpc.StatusCode.CANCELLED


def test_a_reload_of_one_that_hangs_keeps_nobody(registry, config, loads):
    first = config("a", "quick")
    registry.start(first)
    moved = config("a", "slow")
    started = time.monotonic()

    with pytest.raises(ServingError, match=r"did not become available: \{a\}") as error:
        registry.reload(moved, timeout=0.3)

    assert error.value.code is grpc.StatusCode.UNKNOWN
    # The old one goes on, and other models come and go meanwhile.
    assert path_of(registry, "a").endswith("quick/1")
    with pytest.raises(ServingError, match=r"did not become available: \{a\}"):
        registry.reload(moved | config("c", "third"), timeout=0.3)
    assert path_of(registry, "c").endswith("third/1")
    # Each asks for what isn't there yet: a watcher so asks again until it is.
    with pytest.raises(ServingError, match=r"did not become available: \{a\}"):
        registry.reload(moved, timeout=0.3)
    assert registry.names == ["a"]
    assert time.monotonic() - started < 5
    # It takes over once it serves.
    loads.set()
    registry.reload(moved, timeout=10)
    assert path_of(registry, "a").endswith("slow/1")


@pytest.fixture
def reload_in_vain(registry):
    """Reloads what hangs, in a thread; gives what becomes of it, in a list."""
    threads = []

    def begin(configs):
        outcome = []

        def wait():
            try:
                registry.reload(configs)
                outcome.append(None)
            except ServingError as error:
                outcome.append(error.code)

        threads.append(threading.Thread(target=wait, daemon=True))
        threads[-1].start()
        eventually(lambda: registry._managers["a"].is_moving)
        return outcome

    return begin


def test_what_hangs_is_given_up_when_it_is_no_longer_wanted(
    registry, config, loads, reload_in_vain
):
    registry.start(config("a", "quick"))
    outcome = reload_in_vain(config("a", "slow"))

    registry.reload(config("a", "other"), timeout=10)

    assert path_of(registry, "a").endswith("other/1")
    # The model serves as the last one wanted it.
    eventually(lambda: outcome == [None])
    loads.set()
    time.sleep(0.3)
    assert path_of(registry, "a").endswith("other/1")


def test_a_model_that_is_removed_while_it_moves(registry, config, reload_in_vain):
    registry.start(config("a", "quick"))
    outcome = reload_in_vain(config("a", "slow"))

    registry.reload(config("b", "other"), timeout=10)

    eventually(lambda: outcome == [grpc.StatusCode.UNKNOWN])
    assert registry.names == ["b"]
    with pytest.raises(ServingError, match="Servable not found"):
        path_of(registry, "a")
    registry.reload(config("a", "quick"), timeout=10)
    assert path_of(registry, "a").endswith("quick/1")


@pytest.mark.parametrize("via", ["moved", "removed"])
def test_a_request_that_waits_gets_the_model_of_its_turn(registry, config, via):
    registry.start(config("a", "quick"))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "a"
    answers = []
    with registry.lease(request):
        waiting = threading.Thread(
            target=lambda: answers.append(path_of(registry, "a", timeout=30))
        )
        waiting.start()
        time.sleep(0.1)
        if via == "removed":
            registry.reload(config("b", "third"), timeout=10)
        registry.reload(config("a", "other"), timeout=10)
    waiting.join(10)

    assert answers[0].endswith("other/1")


def test_each_label_is_answered_at_each_moment_of_a_start_and_a_move(
    registry, config, tmp_path
):
    def labelled(path):
        for version in ("1", "2"):
            (tmp_path / path / version).mkdir(parents=True)
            (tmp_path / path / version / "saved_model.pb").write_bytes(b"x")
        labels = {"stable": 1, "canary": 2}
        return {"a": ModelConfig("a", str(tmp_path / path), All(), labels)}

    registry._allow_unavailable_labels = True
    answers, done = [], threading.Event()

    def ask():
        while not done.is_set():
            for label in ("stable", "canary"):
                try:
                    answers.append((label, path_of(registry, "a", label)))
                except ServingError as error:
                    answers.append((label, error.message))

    registry.start(labelled("old-delayed"), timeout=10)
    asking = threading.Thread(target=ask)
    asking.start()
    registry.reload(labelled("new-delayed"), timeout=10)
    done.set()
    asking.join()

    assert {
        (label, *path.removeprefix(f"{tmp_path}/").split("/"))
        for label, path in answers
    } <= {
        (label, path, version)
        for label, version in (("stable", "1"), ("canary", "2"))
        for path in ("old-delayed", "new-delayed")
    }
    assert path_of(registry, "a", "stable") == str(tmp_path / "new-delayed" / "1")


def test_one_serves_at_each_moment_of_a_change(registry, config, monkeypatch):
    registry.start(config("a", "quick"))
    answers = []
    monkeypatch.setattr(
        Located, "close", lambda model: answers.append(path_of(registry, "a"))
    )

    registry.reload(config("a", "other"), timeout=10)

    assert answers[0].endswith("other/1")
    monkeypatch.undo()


def test_a_caller_that_goes_is_no_longer_waited_for(registry, config):
    registry.start(config("a", "quick"))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "a"
    gone = Cancellation()
    gone.set()
    with (
        registry.lease(request),
        pytest.raises(ServingError, match="the caller has gone"),
    ):
        path_of(registry, "a", cancellation=gone)


def eventually(condition):
    deadline = time.monotonic() + 10
    while True:
        try:
            if condition():
                return
        except ServingError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""Loading, swapping, retrying and giving up of versions."""

import logging
import shutil
import threading
import time
from types import SimpleNamespace

import grpc
import pytest
from tensorflow_serving.apis import model_pb2

from serving.embedded.admission import Admission
from serving.embedded.lifecycle import LoadOptions
from serving.embedded.manager import ModelManager
from serving.embedded.model import LoadedModel, ModelOptions
from serving.errors import ServingError
from serving.model_config import ModelConfig
from serving.policies import Latest, Specific
from serving.status import State


@pytest.fixture
def manage(tmp_path):
    managers = []

    def start(**arguments):
        defaults = {
            "poll_wait_seconds": 0.02,
            "max_num_load_retries": 0,
            "load_retry_interval_micros": 60_000_000,
        }
        config = ModelConfig("m", str(tmp_path), arguments.pop("policy", Latest()))
        loader = arguments.pop("loader", load)
        options = LoadOptions(**(defaults | arguments))
        manager = ModelManager(config, loader, options, Admission("m", 1, 0))
        managers.append(manager)
        manager.start()
        return manager

    yield start
    for manager in managers:
        manager.stop()


def load(path, *, cancelled, on_failure):
    return LoadedModel(path, ModelOptions())


@pytest.fixture(autouse=True)
def logs(caplog):
    caplog.set_level(logging.INFO, logger="serving")
    return caplog


def states(manager):
    return {status.version: status.state for status in manager.statuses()}


def lease(manager, version=None):
    spec = model_pb2.ModelSpec(name="m")
    if version is not None:
        spec.version.value = version
    return manager.lease(spec)


def score(manager, request, version=None):
    with lease(manager, version) as servable:
        return servable.version, list(
            servable.call("Predict", request).outputs["y"].float_val
        )


def test_only_the_newest_version_is_loaded(
    manage, models, publish, tmp_path, predict_request
):
    publish(models.half_plus_two, tmp_path, 1)
    publish(models.half_plus_three, tmp_path, 10)
    manager = manage()

    assert manager.wait_until_settled(10)
    assert states(manager) == {10: State.AVAILABLE}
    assert score(manager, predict_request({"x": [1.0]})) == (10, [3.5])
    with pytest.raises(ServingError) as caught:
        score(manager, predict_request({"x": [1.0]}), version=1)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert caught.value.message == "Servable not found for request: Specific(m, 1)"


def test_a_new_version_takes_over(
    manage, models, publish, tmp_path, predict_request, eventually
):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage()
    assert manager.wait_until_settled(10)

    publish(models.half_plus_three, tmp_path, 2)

    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})
    assert score(manager, predict_request({"x": [1.0]})) == (2, [3.5])
    assert [status.version for status in manager.statuses()] == [2, 1]


def test_a_request_in_flight_keeps_the_old_version(
    manage, models, publish, tmp_path, predict_request, eventually
):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage()
    assert manager.wait_until_settled(10)

    with lease(manager) as old:
        publish(models.half_plus_three, tmp_path, 2)
        eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.UNLOADING})
        shutil.rmtree(tmp_path / "1")
        response = old.call("Predict", predict_request({"x": [1.0]}))
        assert list(response.outputs["y"].float_val) == [2.5]
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})


def test_a_removed_version_gives_way_to_the_one_before(
    manage, models, publish, tmp_path, predict_request, eventually
):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage()
    assert manager.wait_until_settled(10)
    publish(models.half_plus_three, tmp_path, 2)
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})

    shutil.rmtree(tmp_path / "2")

    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})
    assert score(manager, predict_request({"x": [1.0]})) == (1, [2.5])


def test_a_half_copied_version_is_ignored(
    manage, models, publish, tmp_path, eventually
):
    publish(models.half_plus_two, tmp_path, 1)
    publish(models.half_plus_three, tmp_path, 2, complete=False)
    manager = manage()

    assert manager.wait_until_settled(10)
    assert states(manager) == {1: State.AVAILABLE}

    publish(models.half_plus_three, tmp_path, 2)
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})


def test_a_truncated_version_leaves_the_good_one(
    manage, models, publish, tmp_path, predict_request, eventually, logs
):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage()
    assert manager.wait_until_settled(10)

    publish(models.half_plus_three, tmp_path, 2, truncated=True)
    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})

    assert score(manager, predict_request({"x": [1.0]})) == (1, [2.5])
    error = manager.statuses()[0].error
    assert error is not None
    assert error.code is grpc.StatusCode.DATA_LOSS
    (line,) = [r.getMessage() for r in logs.records if r.levelno == logging.ERROR]
    assert "version 2 at" in line
    assert "given up; version 1 goes on" in line
    assert "\n" not in line

    # A third version ends the matter.
    publish(models.half_plus_three, tmp_path, 3)
    eventually(lambda: states(manager).get(3) is State.AVAILABLE)
    eventually(lambda: states(manager)[1] is State.END)


def test_a_failed_load_is_tried_again_after_the_interval(
    manage, models, publish, tmp_path, eventually, logs
):
    publish(models.half_plus_two, tmp_path, 1, truncated=True)
    manager = manage(max_num_load_retries=2, load_retry_interval_micros=100_000)

    eventually(lambda: states(manager) == {1: State.LOADING})
    eventually(lambda: states(manager) == {1: State.END})

    def attempts() -> list[logging.LogRecord]:
        return [r for r in logs.records if "failed to load" in r.getMessage()]

    # The last state is there a moment before its message is.
    eventually(lambda: len(attempts()) == 3)
    assert "attempt 1 of 3, next in 0.1 s" in attempts()[0].getMessage()
    assert "attempt 3 of 3, given up" in attempts()[2].getMessage()
    assert attempts()[1].created - attempts()[0].created >= 0.1
    eventually(lambda: manager.hopeless)
    assert "version 1 of model m did not load" in manager.hopeless.message


def test_files_that_change_are_tried_before_the_interval(
    manage, models, publish, tmp_path, eventually
):
    path = publish(models.half_plus_two, tmp_path, 1)
    data = path / "variables" / "variables.data-00000-of-00001"
    whole = data.read_bytes()
    data.write_bytes(whole[:3])
    manager = manage(max_num_load_retries=5, load_retry_interval_micros=3_600_000_000)
    eventually(lambda: manager.statuses() and manager.statuses()[0].error)

    data.write_bytes(whole)

    eventually(lambda: states(manager) == {1: State.AVAILABLE})


def test_a_version_that_vanishes_while_it_is_retried_ends(
    manage, models, publish, tmp_path, eventually
):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage(max_num_load_retries=5, load_retry_interval_micros=3_600_000_000)
    assert manager.wait_until_settled(10)
    publish(models.half_plus_three, tmp_path, 2, truncated=True)
    eventually(lambda: states(manager).get(2) is State.LOADING)

    shutil.rmtree(tmp_path / "2")
    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})

    publish(models.half_plus_three, tmp_path, 2)
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})


def test_the_one_version_that_is_wanted_may_vanish_while_it_is_retried(
    manage, models, publish, tmp_path, eventually
):
    publish(models.half_plus_two, tmp_path, 1)
    publish(models.half_plus_three, tmp_path, 2, truncated=True)
    manager = manage(
        policy=Specific(frozenset({2})),
        max_num_load_retries=5,
        load_retry_interval_micros=100_000,
    )
    eventually(lambda: states(manager).get(2) is State.LOADING)

    shutil.rmtree(tmp_path / "2")

    eventually(lambda: states(manager) == {2: State.END})


@pytest.fixture
def empty(tmp_path):
    """Publishes versions without content; gives the configuration that wants some."""

    def make(published=(), wanted=(), base="."):
        for version in published:
            folder = tmp_path / base / str(version)
            folder.mkdir(parents=True)
            (folder / "saved_model.pb").touch()
        policy = Specific(frozenset(wanted or published))
        return ModelConfig("m", str(tmp_path / base), policy)

    return make


class Loads:
    """Loads what crashes when it is told to, and hangs for paths of `hanging`."""

    def __init__(self):
        self.hanging = set()
        self.begun = []
        self.crashes = {}

    def __call__(self, path, *, cancelled, on_failure):
        self.begun.append(path)
        while path in self.hanging:
            if cancelled():
                raise ServingError(grpc.StatusCode.CANCELLED, "no longer wanted")
            time.sleep(0.01)
        self.crashes[path] = on_failure
        return SimpleNamespace(warmup_records=0, close=lambda: None)


@pytest.fixture
def loads():
    return Loads()


def test_without_polling_a_version_comes_back_that_was_unloading(
    manage, empty, loads, eventually
):
    empty([1, 2])
    manager = manage(poll_wait_seconds=0, policy=Specific(frozenset({1})), loader=loads)
    assert manager.wait_until_settled(10)
    with lease(manager):
        manager.configure(empty(wanted=[2]))
        eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.UNLOADING})
        manager.configure(empty(wanted=[1]))
        # It has looked, and found nothing to do.
        assert manager.wait_until_settled(10)

    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})


def test_without_polling_a_reload_looks_once(manage, empty, loads):
    manager = manage(poll_wait_seconds=0, policy=empty([1]).policy, loader=loads)
    assert manager.wait_until_settled(10)
    empty([2])

    manager.configure(empty(wanted=[1, 2]))

    assert manager.wait_until_settled(10)
    assert states(manager) == {2: State.AVAILABLE, 1: State.AVAILABLE}


def test_it_is_settled_once_all_versions_serve(
    manage, empty, loads, tmp_path, eventually
):
    loads.hanging.add(str(tmp_path / "1"))
    manager = manage(policy=empty([1, 2]).policy, loader=loads)
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.LOADING})

    assert not manager.is_settled

    loads.hanging.clear()
    assert manager.wait_until_settled(10)
    assert states(manager) == {2: State.AVAILABLE, 1: State.AVAILABLE}


def test_versions_that_are_wanted_and_missing_are_told_once(
    manage, empty, loads, tmp_path, logs
):
    empty([3])
    policy = empty(wanted=[1, 2]).policy
    manager = manage(policy=policy, loader=loads)

    assert not manager.wait_until_settled(10)
    # Many looks more.
    time.sleep(0.3)
    expected = (
        f"waiting for model m: expected version 1, 2 at {tmp_path / '.'}, found 3"
    )
    assert logs.text.count(expected) == 1
    assert manager.hopeless is None

    manager = manage(policy=policy, loader=loads, poll_wait_seconds=0)
    assert not manager.wait_until_settled(10)
    assert "expected version 1, 2 at" in manager.hopeless.message
    assert "polling is off" in manager.hopeless.message


def test_a_load_that_hangs_ends_once_its_version_is_not_wanted(
    manage, empty, loads, tmp_path, eventually, logs
):
    loads.hanging.add(str(tmp_path / "2"))
    empty([1, 2, 3])
    manager = manage(policy=empty(wanted=[1]).policy, loader=loads)
    assert manager.wait_until_settled(10)
    manager.configure(empty(wanted=[1, 2]))
    eventually(lambda: states(manager) == {1: State.AVAILABLE, 2: State.LOADING})

    manager.configure(empty(wanted=[1, 3]))

    assert manager.wait_until_settled(10)
    served = {1: State.AVAILABLE, 3: State.AVAILABLE}
    assert states(manager) == served | {2: State.END}
    assert "failed to load" not in logs.text


@pytest.mark.parametrize(
    "wanted", [pytest.param([1, 2], id="both"), pytest.param([2], id="the-next-alone")]
)
def test_the_first_crash_puts_off_the_load_of_another_version(
    manage, empty, loads, tmp_path, eventually, logs, wanted
):
    one, two = str(tmp_path / "1"), str(tmp_path / "2")
    loads.hanging.add(two)
    empty([1, 2])
    manager = manage(policy=empty(wanted=[1]).policy, loader=loads)
    assert manager.wait_until_settled(10)
    manager.configure(empty(wanted=wanted))
    eventually(lambda: loads.begun == [one, two])

    loads.crashes[one]()

    eventually(lambda: loads.begun == [one, two, one, two])
    assert states(manager) == {1: State.AVAILABLE, 2: State.LOADING}
    # One that crashes again and again does not keep the next one out.
    loads.crashes[one]()
    time.sleep(0.2)
    assert loads.begun == [one, two, one, two]
    loads.hanging.clear()
    eventually(lambda: states(manager)[2] is State.AVAILABLE)
    assert "failed to load" not in logs.text


def test_another_base_path_takes_over_with_the_same_numbers(
    manage, empty, loads, tmp_path, eventually
):
    manager = manage(policy=empty([1, 2]).policy, loader=loads)
    assert manager.wait_until_settled(10)
    moved = [str(tmp_path / "moved" / version) for version in "12"]
    loads.hanging.update(moved)

    manager.configure(empty([1, 2], base="moved"))

    eventually(lambda: loads.begun[-1] == moved[1])
    assert manager.is_moving
    assert not manager.is_available
    both = {1: State.AVAILABLE, 2: State.AVAILABLE}
    assert states(manager) == both
    # What goes on is loaded again if it crashes.
    loads.crashes[str(tmp_path / "1")]()
    eventually(lambda: loads.begun[-2:] == [str(tmp_path / "1"), moved[1]])
    assert states(manager) == both
    loads.hanging.clear()
    assert manager.wait_until_settled(10)
    assert not manager.is_moving
    assert states(manager) == both
    assert [path for path in moved if path in loads.begun] == moved


def test_a_move_that_fails_leaves_the_old_and_is_tried_again(
    manage, models, publish, tmp_path, predict_request, eventually
):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage()
    assert manager.wait_until_settled(10)
    moved = tmp_path / "moved"
    publish(models.half_plus_three, moved, 1, truncated=True)

    manager.configure(ModelConfig("m", str(moved)))

    assert not manager.wait_until_settled(10)
    assert manager.is_moving
    assert score(manager, predict_request({"x": [1.0]})) == (1, [2.5])
    publish(models.half_plus_three, moved, 1)
    eventually(lambda: not manager.is_moving)
    assert score(manager, predict_request({"x": [1.0]})) == (1, [3.5])


def test_a_move_that_is_taken_back(manage, empty, loads, tmp_path, eventually):
    manager = manage(policy=empty([1]).policy, loader=loads)
    assert manager.wait_until_settled(10)
    moved = str(tmp_path / "moved" / "1")
    loads.hanging.add(moved)
    manager.configure(empty([1], base="moved"))
    eventually(lambda: loads.begun[-1] == moved)

    manager.configure(empty(wanted=[1]))

    assert manager.wait_until_settled(10)
    assert not manager.is_moving
    assert states(manager) == {1: State.AVAILABLE}
    assert loads.begun == [str(tmp_path / "1"), moved]


def test_the_loaded_version_outlives_its_files(
    manage, models, publish, tmp_path, predict_request, eventually, logs
):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage()
    assert manager.wait_until_settled(10)

    shutil.rmtree(tmp_path)
    eventually(lambda: "the loaded version goes on" in logs.text)

    assert score(manager, predict_request({"x": [1.0]})) == (1, [2.5])


def test_what_it_waits_for_is_said_once(
    manage, models, publish, tmp_path, eventually, logs
):
    tmp_path.rmdir()
    manager = manage()

    assert not manager.wait_until_settled(10)
    # Many looks more.
    time.sleep(0.3)
    assert manager.hopeless is None
    assert logs.text.count("waiting for model m") == 1
    assert "is no directory" in logs.text

    publish(models.half_plus_two, tmp_path, 1)
    eventually(lambda: states(manager) == {1: State.AVAILABLE})


def test_without_polling_an_empty_base_path_is_an_error(manage):
    manager = manage(poll_wait_seconds=0)

    assert not manager.wait_until_settled(10)
    assert "polling is off" in manager.hopeless.message
    assert manager.hopeless.code is grpc.StatusCode.NOT_FOUND


def test_the_wait_has_an_end(manage, models, publish, tmp_path):
    publish(models.half_plus_two, tmp_path, 1)
    loading, go_on = threading.Event(), threading.Event()

    def slow_load(path, **callbacks):
        loading.set()
        go_on.wait()
        return load(path, **callbacks)

    manager = manage(loader=slow_load)
    assert loading.wait(10)

    assert not manager.wait_until_settled(0.1)
    go_on.set()
    assert manager.wait_until_settled(10)


def test_a_failing_warm_up_blocks_the_version(
    manage, models, publish, tmp_path, write_warmup, predict_request, eventually
):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage()
    assert manager.wait_until_settled(10)

    path = publish(models.half_plus_three, tmp_path, 2, complete=False)
    write_warmup(path, predict_request({"x": [11.0]}, signature="fail"))
    publish(models.half_plus_three, tmp_path, 2)
    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})

    error = manager.statuses()[0].error
    assert error is not None
    assert "too large" in error.message


def test_stop_unloads_everything(manage, models, publish, tmp_path):
    publish(models.half_plus_two, tmp_path, 1)
    manager = manage()
    assert manager.wait_until_settled(10)

    manager.stop()

    assert states(manager) == {1: State.END}


def test_only_the_last_versions_that_ended_are_remembered(
    manage, empty, loads, eventually, monkeypatch
):
    monkeypatch.setattr("serving.embedded.manager._REMEMBERED", 2)
    manager = manage(policy=empty(range(1, 7)).policy, loader=loads)
    assert manager.wait_until_settled(10)

    manager.configure(empty(wanted=[3, 7]))

    ended = {6: State.END, 5: State.END}
    eventually(lambda: states(manager) == ended | {3: State.AVAILABLE})
    # What was forgotten may be wanted again.
    manager.configure(empty(wanted=[1, 3]))
    both = {1: State.AVAILABLE, 3: State.AVAILABLE}
    eventually(lambda: states(manager) == ended | both)


def test_stop_ends_a_load(manage, empty, loads, tmp_path, eventually):
    loads.hanging.add(str(tmp_path / "1"))
    manager = manage(policy=empty([1, 2]).policy, loader=loads)
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.LOADING})

    manager.stop(10)

    assert states(manager) == {2: State.END, 1: State.END}


def test_what_loads_for_longer_than_the_stop_waits_is_unloaded_later(
    manage, empty, eventually
):
    loading, go_on, closed = (threading.Event() for _ in range(3))

    def load(path, **callbacks):
        loading.set()
        go_on.wait()
        return SimpleNamespace(warmup_records=0, close=closed.set)

    manager = manage(policy=empty([1]).policy, loader=load)
    assert loading.wait(10)
    manager.stop(0.01)

    go_on.set()

    assert closed.wait(10)
    eventually(lambda: states(manager) == {1: State.END})

"""Runs of a graph: what is prepared, how often, and when they end."""

import contextlib
import math
import threading
import weakref
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

from serving.embedded.execution import Executor
from serving.embedded.model import LoadedModel, ModelOptions
from serving.embedded.session import SavedModelSession
from serving.errors import ServingError, invalid

LATE = grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.fixture
def session():
    """Doubles what it is fed; tells what it prepared and with which timeouts it ran."""

    def runner(feeds, fetches):
        fake.prepared.append((feeds, fetches))
        fake.may_prepare.wait()
        if fake.error is not None:
            raise fake.error

        def run(arrays, timeout_ms):
            fake.timeouts.append(timeout_ms)
            return [2 * array for array in arrays]

        return run

    def run_once(feeds, fetches, arrays, timeout_ms):
        fake.once.append((fetches, timeout_ms))
        return [2 * array for array in arrays]

    fake = SimpleNamespace(
        prepared=[], timeouts=[], once=[], error=None, may_prepare=threading.Event()
    )
    fake.runner, fake.run_once = runner, run_once
    fake.may_prepare.set()
    return fake


def ask(executor, timeout=None, fetch="y:0"):
    (found,) = executor.run(("x:0",), (fetch,), [np.array([3.0])], timeout)
    return found.tolist()


def test_no_deadline_prepares_anew(
    models, publish, tmp_path, write_warmup, predict_request, monkeypatch
):
    path = publish(models.half_plus_two, tmp_path, 1)
    write_warmup(path, predict_request({"x": [1.0]}))
    prepared, prepare = [], SavedModelSession.runner

    def count(self, *arguments):
        prepared.append(arguments)
        return prepare(self, *arguments)

    monkeypatch.setattr(SavedModelSession, "runner", count)
    model = LoadedModel(str(path), ModelOptions())

    for timeout in (None, 0.3, 1.0, 5.0, 60.0, 1e7):
        response = model.call("Predict", predict_request({"x": [4.0]}), timeout)
        assert list(response.outputs["y"].float_val) == [4.0]

    assert len(prepared) == 1
    model.close()


def test_arrays_that_failed_are_freed_at_once(session, uncollected):
    session.error = invalid("no such graph")
    array = np.zeros(1)
    freed = weakref.ref(array)
    with contextlib.suppress(ServingError):
        Executor(session).run(("x:0",), ("y:0",), [array])
    session.error = None
    del array

    assert freed() is None


def test_a_run_ends_with_its_deadline(session):
    executor = Executor(session)

    ask(executor)
    ask(executor, 300.0)
    ask(executor, math.inf)

    unlimited, five_minutes, longest = session.timeouts
    assert unlimited == 0
    assert 299_000 < five_minutes <= 300_000
    assert longest == 2**31 - 1


def test_who_comes_meanwhile_waits_until_the_deadline(session, eventually):
    session.may_prepare.clear()
    executor = Executor(session)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(ask(executor))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: session.prepared)

    with pytest.raises(ServingError) as caught:
        ask(executor, 0.01)
    assert caught.value.code is LATE

    session.may_prepare.set()
    for thread in threads:
        thread.join()
    assert found == [[6.0]] * 3
    assert len(session.prepared) == 1


def test_a_deadline_that_passes_in_the_preparation(session):
    session.may_prepare.clear()
    executor = Executor(session)
    threading.Timer(0.05, session.may_prepare.set).start()

    with pytest.raises(ServingError) as caught:
        ask(executor, 0.01)

    assert caught.value.code is LATE
    assert session.timeouts == []


def test_a_preparation_that_fails_is_tried_again(session):
    session.error = ServingError(grpc.StatusCode.NOT_FOUND, "no y:0")
    executor = Executor(session)
    with pytest.raises(ServingError, match="no y:0"):
        ask(executor)

    session.error = None

    assert ask(executor) == [6.0]


def test_what_is_prepared_is_bounded(session):
    executor = Executor(session)

    for _ in range(2):
        for number in range(66):
            assert ask(executor, 60.0, f"y:{number}") == [6.0]

    assert len(session.prepared) == 64
    assert [fetches for fetches, _ in session.once] == [("y:64",), ("y:65",)] * 2
    assert all(59_000 < timeout <= 60_000 for _, timeout in session.once)


def test_no_time_is_left(session):
    with pytest.raises(ServingError) as caught:
        ask(Executor(session), 0.0)
    assert caught.value.code is LATE
    assert session.prepared == []

"""When a version that crashed is loaded again."""

import threading
from types import SimpleNamespace

import grpc
import pytest

from serving.embedded import lifecycle
from serving.embedded.lifecycle import (
    HEALTHY_AFTER,
    LONGEST_RESTART_WAIT,
    LoadOptions,
    Version,
)
from serving.errors import ServingError
from serving.status import State


def make(folder, retries):
    options = LoadOptions(1.0, retries, 60_000_000)
    return Version("m", 1, str(folder), options, threading.Lock())


def fails(path, *, cancelled, on_failure):
    raise ServingError(grpc.StatusCode.UNKNOWN, "damaged")


def load(version, loader=fails):
    version.load(loader, cancelled=lambda: False, wake=lambda: None)


@pytest.fixture
def crash(monkeypatch, tmp_path):
    """Loads a version, which serves and crashes; gives the seconds until it loads."""
    now = 1000.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(lifecycle, "time", clock)
    version = make(tmp_path, retries=5)

    def load(path, *, cancelled, on_failure):
        version.fail = on_failure
        return SimpleNamespace(warmup_records=0, close=lambda: None)

    def crash(after=1.0):
        nonlocal now
        version.load(load, cancelled=lambda: False, wake=lambda: None)
        assert version.state is State.AVAILABLE
        now += after
        version.fail()
        version.collect_crash()
        assert version.is_restarting
        return version.next_attempt - now

    return crash


def test_pauses_double_from_the_second_crash_on(crash):
    assert [crash() for _ in range(7)] == [0, 1, 2, 4, 8, 16, 32]
    assert [crash() for _ in range(20)] == [LONGEST_RESTART_WAIT] * 20


def test_a_crash_is_the_first_after_health(crash):
    assert [crash() for _ in range(4)] == [0, 1, 2, 4]
    assert [crash(after=HEALTHY_AFTER), crash()] == [0, 1]


def test_a_load_that_is_cancelled_is_no_attempt(tmp_path):
    version = make(tmp_path, retries=0)

    def load(path, *, cancelled, on_failure):
        assert cancelled()
        raise ServingError(grpc.StatusCode.CANCELLED, "no longer wanted")

    answers = iter([True])
    version.load(load, lambda: next(answers, False), wake=lambda: None)

    assert version.state is State.START
    assert (version.failures, version.error) == (0, None)
    assert version.is_due()


def test_files_that_still_change_are_waited_for(tmp_path):
    version = make(tmp_path, retries=5)
    load(version)
    for content in ("a", "aa"):
        (tmp_path / "part").write_text(content)
        assert not version.is_due()
    assert version.is_due()


def test_files_that_changed_have_all_attempts_again(tmp_path):
    version = make(tmp_path, retries=1)
    load(version)
    load(version)
    assert version.state is State.END
    (tmp_path / "part").write_text("a")
    assert [version.is_due(), version.is_due()] == [False, True]
    load(version)
    assert version.state is State.LOADING


def test_what_crashed_is_freed(tmp_path):
    closed, failures = [], []

    def loads(path, *, cancelled, on_failure):
        failures.append(on_failure)
        return SimpleNamespace(warmup_records=0, close=lambda: closed.append(True))

    version = make(tmp_path, retries=5)
    load(version, loads)
    failures[0]()
    version.collect_crash()
    assert closed == [True]

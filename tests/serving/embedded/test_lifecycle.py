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


@pytest.fixture
def crash(monkeypatch, tmp_path):
    """Loads a version, which serves and crashes; gives the seconds until it loads."""
    now = 1000.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(lifecycle, "time", clock)
    version = Version(
        "m", 1, str(tmp_path), LoadOptions(1.0, 5, 60_000_000), threading.Lock()
    )

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
    version = Version(
        "m", 1, str(tmp_path), LoadOptions(1.0, 0, 60_000_000), threading.Lock()
    )

    def load(path, *, cancelled, on_failure):
        assert cancelled()
        raise ServingError(grpc.StatusCode.CANCELLED, "no longer wanted")

    answers = iter([True])
    version.load(load, lambda: next(answers, False), wake=lambda: None)

    assert version.state is State.START
    assert (version.failures, version.error) == (0, None)
    assert version.is_due()

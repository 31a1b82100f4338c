"""When a version that crashed is loaded again."""

import threading
from types import SimpleNamespace

import pytest

from serving import lifecycle
from serving.lifecycle import LONGEST_RESTART_WAIT, LoadOptions, Version
from serving.status import State

NOW = 1000.0


@pytest.fixture
def crash(monkeypatch, tmp_path):
    """Loads a version, which then crashes; gives the seconds until the next load."""
    clock = SimpleNamespace(monotonic=lambda: NOW)
    monkeypatch.setattr(lifecycle, "time", clock)
    version = Version(
        "m", 1, str(tmp_path), LoadOptions(1.0, 5, 60_000_000), threading.Lock()
    )

    def load(path, *, cancelled, on_failure):
        version.fail = on_failure
        return SimpleNamespace(warmup_records=0, close=lambda: None)

    def crash():
        version.load(load, cancelled=lambda: False, wake=lambda: None)
        assert version.state is State.AVAILABLE
        version.fail()
        version.collect_crash()
        assert version.is_restarting
        return version.next_attempt - NOW

    return crash


def test_pauses_double_from_the_second_crash_on(crash):
    assert [crash() for _ in range(7)] == [0, 1, 2, 4, 8, 16, 32]
    assert [crash() for _ in range(20)] == [LONGEST_RESTART_WAIT] * 20

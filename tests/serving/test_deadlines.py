"""When something must have ended."""

from types import SimpleNamespace

import pytest

from serving import deadlines
from serving.deadlines import Deadline


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    time = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr(deadlines, "time", time)
    return clock


def test_time_passes(clock):
    deadline = Deadline(5.0)
    assert (deadline.left(), deadline.passed) == (5.0, False)
    clock.now += 4.0
    assert (deadline.left(), deadline.passed) == (1.0, False)
    clock.now += 1.0
    assert (deadline.left(), deadline.passed) == (0.0, True)
    clock.now += 1.0
    assert (deadline.left(), deadline.passed) == (0.0, True)


def test_without_a_limit_nothing_passes(clock):
    deadline = Deadline(None)
    clock.now += 1e9
    assert (deadline.left(), deadline.passed) == (None, False)

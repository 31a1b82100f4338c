"""When what takes long says how far it is."""

import logging

import numpy as np
import pytest

from pipeline.evaluation.bootstrap import intervals
from pipeline.evaluation.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Sets what each look at the clock gives."""

    def set_(*seconds):
        times = iter(seconds)
        monkeypatch.setattr(
            "pipeline.evaluation.progress.time.monotonic", times.__next__
        )

    return set_


def test_a_word_every_ten_seconds(clock, caplog):
    clock(0, 5, 11, 15, 30, 50)
    progress = Progress("slices measured", 5)
    with caplog.at_level(logging.INFO, "midpg.gates"):
        for _ in range(5):
            progress.add()
    # What is done needs none.
    assert caplog.messages == ["slices measured: 2 of 5", "slices measured: 4 of 5"]


def test_a_bootstrap_of_many_rows_says_how_far_it_is(clock, caplog):
    rows = 700_000
    clock(0, 20, 40, 60)
    with caplog.at_level(logging.INFO, "midpg.gates"):
        intervals(
            {"rows": lambda weights: weights.sum(axis=1)},
            np.ones(rows),
            np.arange(rows),
            confidence=0.95,
            resamples=5,
            seed=1,
            what="overall: resamples measured",
        )
    told = "overall: resamples measured"
    assert caplog.messages == [f"{told}: 2 of 5", f"{told}: 4 of 5"]

"""Parts of a split's rows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pipeline.evaluation.rows import SplitRows


@pytest.fixture
def make_rows():
    """Makes rows of drawn scenarios."""

    def make(count, scenarios):
        rng = np.random.default_rng(0)
        names = np.array([f"s{number:04}" for number in range(scenarios)])
        numbers = np.arange(count)
        ones = np.ones(count, np.float32)
        return SplitRows(
            ones, ones, names[rng.integers(scenarios, size=count)], numbers
        )

    return make


def test_rows_by_scenario_keep_their_order(make_rows):
    rows = make_rows(100, 7)
    found = rows.by_scenario()
    assert list(found) == sorted(set(rows.scenarios))
    for name, numbers in found.items():
        np.testing.assert_array_equal(numbers, np.flatnonzero(rows.scenarios == name))
        own = rows.where(numbers)
        assert set(own.scenarios) == {name}
        np.testing.assert_array_equal(own.clusters, numbers)


def test_memory_does_not_grow_with_the_scenarios(make_rows):
    rows = make_rows(10_000, 2_000)
    tracemalloc.start()
    try:
        found = rows.by_scenario()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, found.values())) == 10_000
    # A byte for each row and scenario would be 20 million.
    assert peak < 5e6

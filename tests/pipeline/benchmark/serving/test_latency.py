import pytest

from pipeline.benchmark.serving.latency import Outcome, join, percentiles


def test_percentiles_are_measured_values():
    # 1 to 1,000 ms in any order: the value that 99 % don't exceed is the 990th.
    found = percentiles([number / 1000 for number in range(1000, 0, -1)])
    assert found == pytest.approx(
        {"p50_ms": 500, "p95_ms": 950, "p99_ms": 990, "p999_ms": 999}
    )


def test_the_tail_of_few_requests_is_the_slowest_one():
    found = percentiles([0.001, 0.002, 0.003, 0.0405])
    assert found == pytest.approx(
        {"p50_ms": 2, "p95_ms": 40.5, "p99_ms": 40.5, "p999_ms": 40.5}
    )


def test_without_answers_there_is_no_latency():
    assert set(percentiles([]).values()) == {None}


def test_join():
    found = join(
        [
            Outcome([0.1, 0.2], 0, 1.0),
            Outcome([0.3], 2, 0.5, "busy"),
            Outcome([], 1, 0.5, "gone"),
        ]
    )
    assert found == Outcome([0.1, 0.2, 0.3], 3, 2.0, "busy")
    assert found.answers_per_second == 1.5

import dataclasses

import pytest

from pipeline.benchmark.serving.measure import ServingRecord
from pipeline.benchmark.serving.tables import (
    criteria_table,
    ratios_table,
    serving_table,
)

MLP = ServingRecord(
    model="mlp",
    protocol="grpc",
    scenarios=16,
    candidates=100,
    clients=4,
    isolated=True,
    batching=False,
    server_cores=None,
    requests_per_second=150.0,
    requests=1234,
    p50_ms=4.0,
    p95_ms=5.0,
    p99_ms=10.0,
    p999_ms=20.5,
    rows_per_second=30_000.0,
    in_process_rows_per_second=40_000.0,
    errors=0,
    first_error="",
)
MIDPG = dataclasses.replace(
    MLP,
    model="midpg",
    p50_ms=4.4,
    p99_ms=12.0,
    rows_per_second=24_000.0,
    in_process_rows_per_second=32_000.0,
    errors=2,
)
TRIVIAL = dataclasses.replace(
    MLP,
    model="trivial",
    scenarios=0,
    candidates=1,
    clients=1,
    p50_ms=1.2,
    in_process_rows_per_second=None,
)


def test_serving_table():
    (row,) = serving_table([MIDPG]).rows
    assert " ".join(row) == ("grpc 16 100 4 midpg 4.40 5.00 12.00 20.50 1,234 24,000 2")


def test_ratios_are_of_the_same_setting():
    other = dataclasses.replace(MLP, scenarios=64, p50_ms=1.0)
    (row,) = ratios_table([TRIVIAL, other, MLP, MIDPG]).rows
    # 4.4 / 4, 12 / 10, 24 / 30, 30 / 40 and 24 / 32.
    assert row == ("grpc", "16", "100", "4", "1.10", "1.20", "0.80", "75%", "75%")


def test_criteria():
    worse = [
        dataclasses.replace(MLP, scenarios=64),
        dataclasses.replace(MIDPG, scenarios=64, p50_ms=4.56, rows_per_second=16_000.0),
    ]
    rows = criteria_table([TRIVIAL, MLP, MIDPG, *worse]).rows
    assert list(rows) == [
        ("p50 of midpg by mlp's, grpc", "1.12", "1.14", "<= 1.15", "yes"),
        ("p99 of midpg by mlp's, grpc", "1.20", "1.20", "<= 1.15", "no"),
        ("p50 of a trivial model, grpc", "1.20 ms", "1.20 ms", "<= 1.5 ms", "yes"),
        ("rows/s of mlp by in process, grpc", "0.75", "0.75", ">= 0.7", "yes"),
        ("rows/s of midpg by in process, grpc", "0.62", "0.50", ">= 0.7", "no"),
    ]


@pytest.mark.parametrize("change", [{"candidates": 500}, {"clients": 1}])
def test_criteria_of_other_settings_are_not_judged(change):
    records = [dataclasses.replace(one, **change) for one in (MLP, MIDPG)]
    whats = [row[0] for row in criteria_table(records).rows]
    assert not any("in process" in what for what in whats)
    assert any("p50" in what for what in whats) == ("clients" in change)


def test_no_answers_do_not_hold():
    lost = dataclasses.replace(MIDPG, p50_ms=None, rows_per_second=0.0)
    rows = criteria_table([MLP, lost]).rows
    assert rows[0] == ("p50 of midpg by mlp's, grpc", "", "no answers", "<= 1.15", "no")
    assert rows[3][2:] == ("0.00", ">= 0.7", "no")
    assert serving_table([lost]).rows[0][5] == ""

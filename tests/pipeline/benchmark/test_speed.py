import time

import pytest
import tensorflow as tf
from rich.console import Console

from pipeline.benchmark.speed import (
    Speed,
    measure,
    overhead,
    ratio_of_times,
    speed_table,
)

pytestmark = pytest.mark.slow


def test_ratio_of_times():
    def sleeping(seconds):
        return lambda: time.sleep(seconds)

    ratio, milliseconds = ratio_of_times(sleeping(0.01), sleeping(0.03), repeats=5)
    assert ratio == pytest.approx(3, rel=0.2)
    assert milliseconds == pytest.approx(30, rel=0.2)


def test_waits_for_a_gpu(monkeypatch):
    behind = "sync_devices", lambda: time.sleep(0.01)
    monkeypatch.setattr(tf.test.experimental, *behind)
    for devices, least in (([], 0), (["GPU:0"], 10)):
        found = "list_logical_devices", lambda _, devices=devices: devices
        monkeypatch.setattr(tf.config, *found)
        _, milliseconds = ratio_of_times(lambda: 0, lambda: 0, repeats=2)
        assert least <= milliseconds < least + 10


@pytest.fixture(scope="module")
def found():
    return list(
        measure(
            ["midpg"],
            scenarios=[2],
            skews=[0.0, 1.0],
            batch=64,
            candidates=10,
            hidden=[8],
            repeats=2,
            console=Console(),
        )
    )


def test_each_kind_of_work_is_timed_for_each_data(found):
    assert [(one.what, one.model, one.skew, one.batch) for one in found] == [
        ("train_step", "midpg", 0.0, 64),
        ("inference", "midpg", 0.0, 10),
        ("input", "mlp", 0.0, 64),
        ("train_step", "midpg", 1.0, 64),
        ("inference", "midpg", 1.0, 10),
        ("input", "mlp", 1.0, 64),
    ]
    assert all(one.ratio_to_mlp > 0 and one.milliseconds > 0 for one in found)
    assert {
        "what",
        "scenarios",
        "skew",
        "batch",
        "ratio_to_mlp",
        "milliseconds",
    } <= set(found[0]._asdict())


def test_table():
    one = Speed("train_step", "midpg", 4, 0.0, 4096, 1.234, 56.789)
    (row,) = speed_table([one]).rows
    assert row == ("train_step", "midpg", "4", "0", "4,096", "1.23", "56.79")


def test_overhead_without_hidden_layers():
    found = overhead([], scenarios=8)
    assert found.hidden == 0
    assert str(found).endswith(f"has {found.parameters:,} parameters more than the MLP")


def test_overhead_by_hand():
    found = overhead([256, 128, 64], scenarios=8)
    # Hidden layers of 256 inputs; U and V of rank 8 for each layer, the bias' row too;
    # four cores of 8 * 8 from 32; the auxiliary network; nine embeddings of 8 for it;
    # and, in training alone, a classifier of 8 scenarios from 64 numbers.
    assert found.hidden == 257 * 256 + 257 * 128 + 129 * 64
    factors = 8 * ((257 + 256) + (257 + 128) + (129 + 64) + (65 + 1))
    assert found.parameters == factors + 4 * 32 * 64 + (8 + 1) * 32 + 9 * 8 + 8 * 65
    assert found.parameters < 0.2 * found.hidden

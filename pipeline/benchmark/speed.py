"""How much longer a multi-scenario model takes than an equally wide MLP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras
from rich.console import Console

from midpg_tf.layers import CategoricalInput
from midpg_tf.models import MODELS, RankingModel
from pipeline.benchmark.contenders import check_name
from pipeline.benchmark.overhead import Overhead
from pipeline.benchmark.report import Table
from transform.table import table_batches

FEATURES = 16
"""Of 16 numbers each: the hidden layers' input is 256 wide."""

_VOCABULARY = 1000
_WARM_UPS = 3

What = Literal["train_step", "inference", "input"]


class Speed(NamedTuple):
    """One measurement.

    Attributes:
        what: A `train_step` of the optimizer with metrics; `inference` of candidates of
            one scenario; `input`, the making of a shuffled batch from memory.
        model: Name of the model; of the MLP for `input`.
        scenarios: Number of scenarios in the data.
        skew: Rows of a scenario are proportional to rank^-skew; 0 is uniform.
        batch: Rows.
        ratio_to_mlp: Median, over pairs timed one after the other, of the time by that
            of the MLP; for `input`, by the MLP's training step.
        milliseconds: Median time.
    """

    what: What
    model: str
    scenarios: int
    skew: float
    batch: int
    ratio_to_mlp: float
    milliseconds: float


def measure(
    models: Sequence[str],
    scenarios: Sequence[int],
    skews: Sequence[float],
    *,
    batch: int,
    candidates: int,
    hidden: Sequence[int],
    repeats: int,
    console: Console,
) -> Iterator[Speed]:
    """Times models beside the MLP, on made-up rows.

    Args:
        models: Names of models.
        scenarios: Numbers of scenarios.
        skews: How uneven they are, see `Speed`.
        batch: Rows of a training step.
        candidates: Rows of an inference.
        hidden: Widths of the hidden layers.
        repeats: Number of pairs.
        console: For progress.

    Raises:
        ValueError: If there is no such model.
    """
    for name in models:
        check_name(name)
    for count in scenarios:
        for skew in skews:
            rng = np.random.default_rng(0)
            rows = _rows(count, skew, batch, rng)
            label = tf.constant(rng.random(batch) < 0.3, tf.float32)
            # Most scenarios would do; the first is in every batch.
            request = _rows(1, 0.0, candidates, rng)
            mlp = _model("mlp", count, hidden)
            for name in models:
                with console.status(f"{name}, {count} scenarios, skew {skew:g}"):
                    model = _model(name, count, hidden)
                    step = _step(model, rows, label)
                    ratio, took = ratio_of_times(_step(mlp, rows, label), step, repeats)
                    yield Speed("train_step", name, count, skew, batch, ratio, took)
                    # A call is short: more of them, for the same precision.
                    call = _call(model, request)
                    ratio, took = ratio_of_times(
                        _call(mlp, request), call, 10 * repeats
                    )
                    yield Speed("inference", name, count, skew, candidates, ratio, took)
            batches = _batches(rows, label, batch)
            ratio, took = ratio_of_times(_step(mlp, rows, label), batches, repeats)
            yield Speed("input", "mlp", count, skew, batch, ratio, took)


def overhead(hidden: Sequence[int], scenarios: int) -> Overhead:
    """How many parameters MI-DPG has more than the MLP, of the models that are timed.

    Args:
        hidden: Widths of the hidden layers.
        scenarios: Number of scenarios.
    """
    return Overhead.of(
        _model("midpg", scenarios, hidden), _model("mlp", scenarios, hidden)
    )


def speed_table(found: Sequence[Speed]) -> Table:
    """The measurements, a row each."""
    return Table(
        "Time against an equally wide MLP (medians of pairs)",
        ("what", "model", "scenarios", "skew", "rows", "ratio", "ms"),
        [
            (
                one.what,
                one.model,
                str(one.scenarios),
                f"{one.skew:g}",
                f"{one.batch:,}",
                f"{one.ratio_to_mlp:.2f}",
                f"{one.milliseconds:.2f}",
            )
            for one in found
        ],
    )


def _rows(
    scenarios: int, skew: float, count: int, rng: np.random.Generator
) -> dict[str, tf.Tensor]:
    shares = np.arange(1, scenarios + 1) ** -skew
    rows = {"scenario": rng.choice(scenarios, count, p=shares / shares.sum())}
    rows |= {
        f"feature_{i}": rng.integers(0, _VOCABULARY, count) for i in range(1, FEATURES)
    }
    return {name: tf.constant(ids, tf.int64) for name, ids in rows.items()}


def _model(name: str, scenarios: int, hidden: Sequence[int]) -> RankingModel:
    features = [CategoricalInput("scenario", scenarios + 1, embedding=16)]
    features += [
        CategoricalInput(f"feature_{i}", _VOCABULARY + 1, embedding=16)
        for i in range(1, FEATURES)
    ]
    model = MODELS[name](features, ["scenario"], hidden=hidden)
    model.compile(keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    return model


def _step(
    model: RankingModel, rows: dict[str, tf.Tensor], label: tf.Tensor
) -> Callable[[], Any]:
    step = tf.function(model.train_step)
    return lambda: step((rows, label))


def _call(model: RankingModel, rows: dict[str, tf.Tensor]) -> Callable[[], Any]:
    call = tf.function(lambda features: model(features, training=False))
    return lambda: call(rows)


def _batches(
    rows: dict[str, tf.Tensor], label: tf.Tensor, batch: int
) -> Callable[[], Any]:
    table = {name: tf.tile(ids, [10]) for name, ids in rows.items()}
    table["label"] = tf.tile(label, [10])
    batches = table_batches(table, batch, seed=0).repeat()
    return iter(batches).__next__


def ratio_of_times(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> tuple[float, float]:
    """Times two functions in turn, since a shared machine's speed changes in seconds.

    Args:
        first: The measure.
        second: What is measured.
        repeats: Number of pairs.

    Returns:
        The median ratio of the second's time to the first's, and its own in ms.
    """
    for _ in range(_WARM_UPS):
        first(), second()
    times = np.array([(_seconds(first), _seconds(second)) for _ in range(repeats)])
    ratio = np.median(times[:, 1] / times[:, 0])
    return float(ratio), float(1000 * np.median(times[:, 1]))


def _seconds(run: Callable[[], Any]) -> float:
    has_gpu = bool(tf.config.list_logical_devices("GPU"))
    start = time.perf_counter()
    run()
    if has_gpu:
        # A GPU goes on behind the call. On CPUs alone, asking would only take time.
        tf.test.experimental.sync_devices()
    return time.perf_counter() - start

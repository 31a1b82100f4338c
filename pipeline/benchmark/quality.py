"""`midpg benchmark quality`: models on the same splits, with the same settings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import WARNING, getLogger
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from midpg_tf.models import RankingModel
from midpg_tf.models.registry import hyperparameters
from midpg_tf.spec import DatasetSpec, HashSplit, ModelSpec
from pipeline.benchmark.contenders import (
    Contender,
    contender,
    dense_parameters,
    with_budget,
)
from pipeline.benchmark.data import Prepared, prepare, with_seed
from pipeline.benchmark.overhead import Overhead
from pipeline.benchmark.training import Trainings, Trial
from pipeline.evaluation.rows import SplitRows

Budget = Literal["widths", "parameters"]
HeldOutSplit = Literal["eval", "test"]


class Benchmark:
    """A comparison of models.

    Args:
        spec: The description.
        contenders: The models; the first is the baseline.
        seeds: Each model is trained with each; a split by hash is drawn anew with each.
        budget: `widths`: hidden layers as the file has them. `parameters`: their widths
            are scaled to the baseline's number of parameters behind the embeddings.
        cache: Where transformed data is kept.
        folder: Where trainings are kept.
        console: For a line a training.
        split: On which split models are compared: `eval` while settings are still
            being chosen. Default `test`.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        contenders: Sequence[Contender],
        seeds: Sequence[int],
        budget: Budget,
        cache: Path,
        folder: Path,
        console: Console,
        split: HeldOutSplit = "test",
    ) -> None:
        self.spec = spec
        self.contenders = list(contenders)
        self.seeds = list(seeds)
        self.budget = budget
        self.cache = cache
        self.console = console
        self.split: HeldOutSplit = split
        self.trainings = Trainings(spec, folder)
        self.prepared: dict[int, Prepared] = {}
        self._scored: dict[int, tuple[SplitRows, dict[str, np.ndarray]]] = {}

    def run(self) -> list[Trial]:
        """Does what isn't done yet; a seed after the other, and all models of it."""
        self._prepare()
        self._spend_budget()
        trials: list[Trial] = []
        total = len(self.seeds) * len(self.contenders)
        for seed in self.seeds:
            for one in self.contenders:
                with _quiet_trainer():
                    trials.append(self._trial(one, seed, len(trials) + 1, total))
        return trials

    def scored(self, seed: int) -> tuple[SplitRows, dict[str, np.ndarray]]:
        """The split's rows, and each contender's scores of them, once it has run."""
        if seed not in self._scored:
            prepared = self.prepared[seed]
            scores = {
                one.name: self.trainings.scores(one.model, prepared, seed, self.split)
                for one in self.contenders
            }
            self._scored[seed] = prepared.rows(self.split), scores
        return self._scored[seed]

    def overhead(self) -> Overhead:
        """MI-DPG's parameters, against an MLP of the same widths."""
        midpg = self._build(contender(self.spec, "midpg"))
        config = midpg.get_config()
        same = {key: config[key] for key in hyperparameters("mlp") if key in config}
        mlp = self._build(Contender("mlp", ModelSpec(name="mlp", **same)))
        return Overhead.of(midpg, mlp)

    def _prepare(self) -> None:
        for seed in self.seeds:
            started = time.monotonic()
            with self.console.status(f"transforming the data of seed {seed}"):
                self.prepared[seed] = prepare(with_seed(self.spec, seed), self.cache)
            rows = ", ".join(
                f"{split} {self.prepared[seed].row_count(split):,}"
                for split in ("train", "eval", "test")
            )
            self.console.print(
                f"data       seed {seed}: {rows} rows,"
                f" {time.monotonic() - started:.0f} s"
            )
            if not isinstance(self.spec.data.split, HashSplit):
                self.prepared = dict.fromkeys(self.seeds, self.prepared[seed])
                return

    def _spend_budget(self) -> None:
        if self.budget == "widths":
            return
        baseline, *others = self.contenders
        target = dense_parameters(self._build(baseline))
        values = self.prepared[self.seeds[0]].vocabularies()
        self.contenders = [
            baseline,
            *(with_budget(self.spec, one, target, values) for one in others),
        ]

    def _build(self, one: Contender) -> RankingModel:
        values = self.prepared[self.seeds[0]].vocabularies()
        return self.spec.build_model(one.model, values)

    def _trial(self, one: Contender, seed: int, number: int, total: int) -> Trial:
        prepared = self.prepared[seed]
        result = self.trainings.find(one.model, prepared, seed)
        took = "kept"
        if result is None:
            where = f"{number} of {total}: {one.name}, seed {seed}"
            with self.console.status(where) as status:
                result = self.trainings.run(
                    one.model,
                    prepared,
                    seed,
                    tell=lambda text: status.update(f"{where}, {text}"),
                )
            took = f"{result.seconds:.0f} s"
        overall = result.splits[self.split][0]
        auc, loss = (
            "undefined" if value is None else f"{value:.4f}"
            for value in (overall.auc, overall.logloss)
        )
        self.console.print(
            f"{number:>3} of {total}  {one.name}, seed {seed}: {self.split} AUC"
            f" {auc}, log loss {loss};"
            f" {result.epochs} epochs,"
            f" {result.examples_per_second:,.0f} examples/s, {took}"
        )
        return Trial(one.name, seed, result)


@contextmanager
def _quiet_trainer() -> Iterator[None]:
    """Keeps the trainer's line an epoch off the terminal: there is one a training."""
    logger = getLogger("midpg.trainer")
    level = logger.level
    logger.setLevel(WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)

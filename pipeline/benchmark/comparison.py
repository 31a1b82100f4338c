"""Records of a benchmark, and each model against the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from midpg_tf.spec import OVERALL, HashSplit
from pipeline.benchmark.quality import Benchmark
from pipeline.benchmark.statistics import (
    Gains,
    bootstrap_gains,
    t_gains,
    with_both_errors,
)
from pipeline.benchmark.training import Trial
from pipeline.evaluation.bootstrap import Verdict, verdict
from pipeline.evaluation.figures import Figures
from pipeline.evaluation.gates import can_be_told
from pipeline.evaluation.rows import SplitRows


class Spread(NamedTuple):
    """A figure over seeds.

    Attributes:
        mean: NaN where no seed has it.
        deviation: Standard deviation of the seeds' figures; NaN for fewer than two.
    """

    mean: float
    deviation: float


class Line(NamedTuple):
    """A model on a split's rows of a scenario.

    Attributes:
        scenario: The scenario, or `overall`.
        model: What the report calls the model.
        rows: Mean number of rows a seed.
        auc: Over seeds.
        gauc: Over seeds.
        logloss: Over seeds, in nats.
        calibration: Over seeds.
        gains: Over the baseline, paired by seed: for a single seed with the bootstrap's
            intervals over its rows, otherwise with Student's over seeds, and where
            these share the rows, for both errors. None for the baseline.
        verdict: What the gain in AUC says; None for the baseline. `too few` where some
            seed has a class of fewer rows, or fewer clusters, in effect, than the gate
            on scenarios asks for.
    """

    scenario: str
    model: str
    rows: float
    auc: Spread
    gauc: Spread
    logloss: Spread
    calibration: Spread
    gains: Gains | None
    verdict: Verdict | None


def records(trials: Sequence[Trial]) -> Iterator[dict[str, Any]]:
    """A flat record for each training, split and scenario (None for all rows)."""
    for trial in trials:
        for split, slices in trial.result.splits.items():
            for found in slices:
                yield {
                    "model": trial.name,
                    "seed": trial.seed,
                    "split": split,
                    "scenario": found.scenario,
                    "rows": found.rows,
                    "auc": found.auc,
                    "gauc": found.gauc,
                    "logloss": found.logloss,
                    "calibration": found.calibration,
                    "parameters": trial.result.parameters,
                    "examples_per_second": trial.result.examples_per_second,
                }


def compare(benchmark: Benchmark, trials: Sequence[Trial]) -> list[Line]:
    """Each model in each scenario of the benchmark's split, all rows first.

    Args:
        benchmark: The comparison; its first contender is the baseline.
        trials: What `benchmark.run` gave.
    """
    found: dict[str, dict[tuple[str, int], Figures]] = {}
    for trial in trials:
        for figures in trial.result.splits[benchmark.split]:
            name = OVERALL if figures.scenario is None else figures.scenario
            found.setdefault(name, {})[trial.name, trial.seed] = figures
    scenarios = [OVERALL, *sorted(set(found) - {OVERALL})]
    return [
        _line(benchmark, scenario, one.name, found[scenario])
        for scenario in scenarios
        for one in benchmark.contenders
    ]


def errors_covered(benchmark: Benchmark) -> str:
    """What the intervals of the gains are over: rows, seeds, or both."""
    rows = f"{benchmark.split} rows"
    if len(benchmark.seeds) == 1:
        return rows
    # With a split by hash, each seed has other rows.
    drawn = isinstance(benchmark.spec.data.split, HashSplit)
    return "seeds and their splits" if drawn else f"seeds and {rows}"


def _line(
    benchmark: Benchmark,
    scenario: str,
    model: str,
    found: dict[tuple[str, int], Figures],
) -> Line:
    baseline = benchmark.contenders[0].name
    # A split by hash can leave a scenario without rows in some seed.
    seeds = [seed for seed in benchmark.seeds if (model, seed) in found]
    own = [found[model, seed] for seed in seeds]
    gains = None
    if model != baseline:
        pairs = [(found[model, seed], found[baseline, seed]) for seed in seeds]
        gains = _gains(benchmark, scenario, model, pairs)
    return Line(
        scenario=scenario,
        model=model,
        rows=float(np.mean([figures.rows for figures in own])),
        auc=_spread([figures.auc for figures in own]),
        gauc=_spread([figures.gauc for figures in own]),
        logloss=_spread([figures.logloss for figures in own]),
        calibration=_spread([figures.calibration for figures in own]),
        gains=gains,
        verdict=_verdict(benchmark, scenario, gains) if gains else None,
    )


def _verdict(benchmark: Benchmark, scenario: str, gains: Gains) -> Verdict:
    enough = True
    for seed in benchmark.seeds:
        rows, _ = benchmark.scored(seed)
        own = rows.where(_members(rows, scenario))
        enough &= can_be_told(benchmark.spec.gates, own)
    return verdict(gains.auc, enough=enough)


def _gains(
    benchmark: Benchmark,
    scenario: str,
    model: str,
    pairs: Sequence[tuple[Figures, Figures]],
) -> Gains:
    if len(benchmark.seeds) == 1:
        return _bootstrap(benchmark, scenario, model)
    confidence = benchmark.spec.gates.confidence
    split = benchmark.spec.data.split
    if isinstance(split, HashSplit):
        held_out = split.test if benchmark.split == "test" else split.eval
        return t_gains(pairs, confidence, held_out / (1 - split.eval - split.test))
    over_seeds = t_gains(pairs, confidence)
    return with_both_errors(over_seeds, _bootstrap(benchmark, scenario, model))


def _bootstrap(benchmark: Benchmark, scenario: str, model: str) -> Gains:
    """Of the seeds' mean gain; they share the rows."""
    scored = [benchmark.scored(seed) for seed in benchmark.seeds]
    rows, _ = scored[0]
    mask = _members(rows, scenario)
    gates = benchmark.spec.gates
    baseline = benchmark.contenders[0].name
    return bootstrap_gains(
        rows.where(mask),
        [scores[model][mask] for _, scores in scored],
        [scores[baseline][mask] for _, scores in scored],
        confidence=gates.confidence,
        resamples=gates.resamples,
        seed=benchmark.seeds[0],
    )


def _members(rows: SplitRows, scenario: str) -> np.ndarray:
    return (rows.scenarios == scenario) | (scenario == OVERALL)


def _spread(values: Sequence[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    if not known:
        return Spread(float("nan"), float("nan"))
    deviation = float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")
    return Spread(float(np.mean(known)), deviation)


class Gap(NamedTuple):
    """How much of what is possible a model reaches, on a split's rows of a scenario.

    Attributes:
        scenario: The scenario, or `overall`.
        rows: Number of rows.
        model: What the report calls the model.
        best: The AUC of the true probabilities.
        auc: The model's, mean over seeds.
        closed: Its share of the gap between the baseline's AUC and the best one.
    """

    scenario: str
    rows: int
    model: str
    best: float
    auc: float
    closed: float


def gaps(lines: Sequence[Line], split: str, truth: Sequence[Figures]) -> list[Gap]:
    """Each model other than the baseline in each scenario.

    Args:
        lines: Of `compare`, with the same rows for each seed.
        split: Which split they are of, for the message.
        truth: The figures of the true probabilities on these rows.

    Raises:
        ValueError: If the truth is of other rows.
    """
    best = {one.scenario or OVERALL: one for one in truth}
    baseline = {line.scenario: line.auc.mean for line in lines if line.gains is None}
    found = []
    for line in lines:
        known = best.get(line.scenario)
        if known is None or known.rows != line.rows:
            raise ValueError(
                f"scenario {line.scenario}: expected the truth of {line.rows:g}"
                f" {split} rows, found {known.rows if known else 'none'}; name the"
                " truth.json that was drawn with the rows"
            )
        if line.gains is not None and known.auc is not None:
            gap = known.auc - baseline[line.scenario]
            gain = line.auc.mean - baseline[line.scenario]
            found.append(
                Gap(
                    line.scenario,
                    known.rows,
                    line.model,
                    known.auc,
                    line.auc.mean,
                    gain / gap if gap else float("nan"),
                )
            )
    return found

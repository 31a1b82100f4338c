"""Records of a benchmark, and each model against the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
from pipeline.evaluation.bootstrap import Verdict, verdict, widening
from pipeline.evaluation.figures import Figures
from pipeline.evaluation.gates import (
    can_be_compared,
    effective_numbers,
    fewest_observations,
)


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
        verdict: What the gain in AUC says; None for the baseline. Of a scenario, by an
            interval that is widened (Bonferroni) for the number of scenarios judged;
            those over few rows, or clusters, are wider by Student's quantile, too.
            `too few` where some seed has a class of fewer rows, or fewer clusters, in
            effect, than the gate on scenarios asks for.
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
        _line(benchmark, part, one.name, found[part.scenario])
        for part in _parts(benchmark, scenarios)
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


class _Part(NamedTuple):
    """A scenario, or all rows.

    Attributes:
        scenario: The scenario, or `overall`.
        rows: By seed, the numbers of its rows.
        enough: Whether they are enough for a verdict, with every seed.
        comparisons: Number of scenarios whose verdicts hold together; 1 for all rows.
        observations: Effective number of rows, or clusters, of the class that has
            fewer, with the seed that has the fewest.
    """

    scenario: str
    rows: Mapping[int, np.ndarray]
    enough: bool
    comparisons: int
    observations: float


def _parts(benchmark: Benchmark, scenarios: Sequence[str]) -> list[_Part]:
    members = {}
    for seed in benchmark.seeds:
        rows, _ = benchmark.scored(seed)
        every = np.arange(len(rows.labels))
        members[seed] = {OVERALL: every, **rows.by_scenario()}
    # A split by hash can leave a scenario without rows in some seed.
    none = np.arange(0)
    parts = [
        _part(
            benchmark,
            scenario,
            {seed: own.get(scenario, none) for seed, own in members.items()},
        )
        for scenario in scenarios
    ]
    judged = sum(part.enough for part in parts if part.scenario != OVERALL)
    return [
        part if part.scenario == OVERALL else part._replace(comparisons=judged)
        for part in parts
    ]


def _part(benchmark: Benchmark, scenario: str, rows: Mapping[int, np.ndarray]) -> _Part:
    """A scenario by itself: its verdict holds together with no other."""
    effective = [
        effective_numbers(benchmark.scored(seed)[0].where(numbers))
        for seed, numbers in rows.items()
    ]
    return _Part(
        scenario,
        rows,
        # `min_rows` is what may refuse a model; here all that can be told is.
        enough=all(can_be_compared(benchmark.spec.gates, one) for one in effective),
        comparisons=1,
        observations=min(map(fewest_observations, effective)),
    )


def _line(
    benchmark: Benchmark,
    part: _Part,
    model: str,
    found: dict[tuple[str, int], Figures],
) -> Line:
    baseline = benchmark.contenders[0].name
    seeds = [seed for seed in benchmark.seeds if (model, seed) in found]
    own = [found[model, seed] for seed in seeds]
    gains = told = None
    if model != baseline:
        pairs = [(found[model, seed], found[baseline, seed]) for seed in seeds]
        over_rows = _bootstrap(benchmark, part, model)
        gains = _gains(benchmark, pairs, over_rows)
        judged = _gains(benchmark, pairs, over_rows, part)
        told = verdict(judged.auc, enough=part.enough)
    return Line(
        scenario=part.scenario,
        model=model,
        rows=float(np.mean([figures.rows for figures in own])),
        auc=_spread([figures.auc for figures in own]),
        gauc=_spread([figures.gauc for figures in own]),
        logloss=_spread([figures.logloss for figures in own]),
        calibration=_spread([figures.calibration for figures in own]),
        gains=gains,
        verdict=told,
    )


def _gains(
    benchmark: Benchmark,
    pairs: Sequence[tuple[Figures, Figures]],
    over_rows: Gains | None,
    judged: _Part | None = None,
) -> Gains:
    """With intervals as a verdict needs them if there is one."""
    gates = benchmark.spec.gates
    comparisons, observations = 1, math.inf
    if judged is not None and judged.enough:
        comparisons, observations = judged.comparisons, judged.observations
    if over_rows:
        factor = widening(gates.confidence, observations, comparisons)
        over_rows = Gains(*(one.widened(factor) for one in over_rows))
        if len(benchmark.seeds) == 1:
            return over_rows
    # Student's quantiles grow faster than the normal distribution's.
    confidence = 1 - (1 - gates.confidence) / comparisons
    split = benchmark.spec.data.split
    overlap = 0.0
    if isinstance(split, HashSplit):
        held_out = split.test if benchmark.split == "test" else split.eval
        overlap = held_out / (1 - split.eval - split.test)
    over_seeds = t_gains(pairs, confidence, overlap)
    return with_both_errors(over_seeds, over_rows) if over_rows else over_seeds


def _bootstrap(benchmark: Benchmark, part: _Part, model: str) -> Gains | None:
    """Of the seeds' mean gain; None where they don't share the rows."""
    several = len(benchmark.seeds) > 1
    if several and isinstance(benchmark.spec.data.split, HashSplit):
        return None
    scored = [benchmark.scored(seed) for seed in benchmark.seeds]
    rows, _ = scored[0]
    numbers = part.rows[benchmark.seeds[0]]
    gates = benchmark.spec.gates
    baseline = benchmark.contenders[0].name
    return bootstrap_gains(
        rows.where(numbers),
        [scores[model][numbers] for _, scores in scored],
        [scores[baseline][numbers] for _, scores in scored],
        confidence=gates.confidence,
        resamples=gates.resamples,
        seed=benchmark.seeds[0],
    )


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
        closed: Its share of the gap between the baseline's AUC and the best one; NaN
            where the baseline, by chance, is no worse than that.
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
                    gain / gap if gap > 0 else float("nan"),
                )
            )
    return found

"""What `midpg benchmark quality` does once its options are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from midpg_tf.spec import DatasetSpec
from pipeline.benchmark.ablation import variants
from pipeline.benchmark.comparison import compare, errors_covered, gaps, records
from pipeline.benchmark.contenders import Contender, contender
from pipeline.benchmark.plot import plot_gains
from pipeline.benchmark.quality import Benchmark, Budget, HeldOutSplit
from pipeline.benchmark.report import (
    cost_table,
    figures_table,
    gains_table,
    gaps_table,
    matrices_table,
    settings_table,
    write_csv,
    write_json,
)
from pipeline.synth import read_truth


@dataclasses.dataclass(frozen=True)
class QualityOptions:
    """The options of the command.

    Attributes:
        models: Names of the models.
        baseline: The one that the others are compared to; the first one if None, or
            MI-DPG with the file's settings in an ablation.
        seeds: The seeds.
        budget: What the models have in common.
        ablation: Whether MI-DPG's variants are compared too.
        split: The split that they are compared on.
        output: The folder of the report and of the trainings.
        json: A file for the records, too.
        truth: The `truth.json` of synthetic rows, if these are some.
        cache: The folder of transformed data.
    """

    models: Sequence[str]
    baseline: str | None
    seeds: Sequence[int]
    budget: Budget
    ablation: bool
    split: HeldOutSplit
    output: Path
    json: Path | None
    truth: Path | None
    cache: Path


def run_quality(spec: DatasetSpec, options: QualityOptions, console: Console) -> None:
    """Trains what isn't trained yet, then prints and writes the comparison.

    Args:
        spec: The description.
        options: The options.
        console: For messages to the person.

    Raises:
        ValueError: If a model is unknown, or can't have its settings or the budget.
    """
    truth = read_truth(options.truth) if options.truth else None
    options.output.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(
        spec,
        _contenders(spec, options),
        options.seeds,
        options.budget,
        options.cache,
        options.output / "trainings",
        console,
        options.split,
    )
    trials = benchmark.run()
    found = list(records(trials))
    with console.status("comparing"):
        lines = compare(benchmark, trials)
    same = {
        "widths": "hidden widths",
        "parameters": "number of parameters behind the embeddings",
    }[options.budget]
    title = f"{spec.name}: seeds {', '.join(map(str, options.seeds))}, same {same}"
    tables = [
        figures_table(lines, options.split),
        gains_table(
            lines,
            spec.gates.confidence,
            errors_covered(benchmark),
            len(options.seeds),
        ),
        settings_table(trials),
        cost_table(trials),
        gaps_table(gaps(lines, options.split, truth[options.split])) if truth else None,
        matrices_table(trials),
    ]
    overhead = str(benchmark.overhead())
    output = options.output
    write_json(found, output / "records.json")
    if options.json:
        write_json(found, options.json)
    write_csv(found, output / "records.csv")
    shown = [table for table in tables if table and table.rows]
    parts = [f"# {title}", *(table.markdown() for table in shown), overhead]
    (output / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    console.print(Text.assemble("\n", (title, "bold"), "\n"))
    for table in shown:
        console.print(table.rich())
    console.print(overhead)
    plot_gains(lines, options.split, title, output / "gains.png")
    console.print(f"report:    {output / 'report.md'}")


def _contenders(spec: DatasetSpec, options: QualityOptions) -> list[Contender]:
    found = variants(spec) if options.ablation else []
    known = {one.name for one in found}
    names = [*options.models, *filter(None, [options.baseline])]
    for name in dict.fromkeys(names):
        if name not in known:
            found.append(contender(spec, name))
    for one in found:
        spec.check_model(one.model)
    first = options.baseline or found[0].name
    return sorted(found, key=lambda one: one.name != first)

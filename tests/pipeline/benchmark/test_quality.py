"""A benchmark from trainings to report: what it keeps, compares and writes."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import pipeline.benchmark.quality
import pipeline.benchmark.training
from midpg_tf.spec.gates import Gates, ScenarioBounds
from midpg_tf.spec.model import ModelSpec
from midpg_tf.spec.source import HashSplit
from pipeline.benchmark import comparison
from pipeline.benchmark.comparison import compare, errors_covered, gaps, records
from pipeline.benchmark.contenders import Contender, dense_parameters
from pipeline.benchmark.quality import Benchmark
from pipeline.benchmark.report import (
    cost_table,
    figures_table,
    gains_table,
    gaps_table,
    matrices_table,
    write_csv,
    write_json,
)
from pipeline.benchmark.statistics import Gains
from pipeline.benchmark.training import EpochClock, Trainings
from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.figures import Figures

pytestmark = pytest.mark.slow

KEYS = [
    "model",
    "seed",
    "split",
    "scenario",
    "rows",
    "auc",
    "gauc",
    "logloss",
    "calibration",
    "parameters",
    "examples_per_second",
]
SCENARIOS = ["app/desk", "app/phone", "web/desk", "web/phone"]
FEW_ITEMS = ScenarioBounds(min_clusters=5)
"""There are 8 items in all, some more often than others."""

CONTENDERS = [
    Contender("mlp", ModelSpec(name="mlp", hidden=[8])),
    Contender("midpg", ModelSpec(name="midpg", hidden=[8], rank=2)),
]


@pytest.fixture
def make(prepared_shop, monkeypatch):
    """Makes benchmarks of the small data set that keep results in a folder."""
    monkeypatch.setattr(
        pipeline.benchmark.quality, "prepare", lambda spec, cache: prepared_shop
    )

    def make(
        folder, seeds=(1, 2), *, budget="widths", contenders=CONTENDERS, split="test"
    ):
        text = io.StringIO()
        console = Console(file=text, width=120)
        training = prepared_shop.spec.training.model_copy(
            update={"epochs": 2, "learning_rate": 0.03}
        )
        gates = Gates(resample_by="item", resamples=100, per_scenario=FEW_ITEMS)
        spec = prepared_shop.spec.model_copy(
            update={"training": training, "gates": gates}
        )
        trainings = folder / "trainings"
        benchmark = Benchmark(
            spec, contenders, seeds, budget, folder, trainings, console, split
        )
        return benchmark, text

    return make


@pytest.fixture
def no_training(monkeypatch):
    def fail(*_):
        raise AssertionError("expected no training")

    return lambda: monkeypatch.setattr(pipeline.benchmark.training, "fit", fail)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quality")


@pytest.fixture
def done(make, folder):
    """The benchmark of two models and two seeds; trained once for all tests."""
    benchmark, text = make(folder)
    return benchmark, benchmark.run(), text.getvalue().splitlines()


def test_a_line_a_training(done):
    _, trials, lines = done
    assert [(trial.name, trial.seed) for trial in trials] == [
        ("mlp", 1),
        ("midpg", 1),
        ("mlp", 2),
        ("midpg", 2),
    ]
    assert lines[0].startswith("data       seed 1: train 240, eval 80, test 80 rows")
    assert len(lines) == 1 + 4
    auc = trials[1].result.splits["test"][0].auc
    assert lines[2].startswith(f"  2 of 4  midpg, seed 1: test AUC {auc:.4f}")


def test_what_is_there_is_not_trained_again(done, make, folder, no_training):
    no_training()
    benchmark, text = make(folder, (2, 1))
    again = benchmark.run()
    assert {(t.name, t.seed): t.result.model_dump_json() for t in again} == {
        (t.name, t.seed): t.result.model_dump_json() for t in done[1]
    }
    assert text.getvalue().count(", kept") == 4


@pytest.mark.parametrize(
    "other",
    [
        ModelSpec(name="mlp", hidden=[8], dropout=0.1),
        ModelSpec(name="mlp", hidden=[9]),
    ],
)
def test_other_settings_are_another_training(
    done, make, folder, no_training, prepared_shop, other
):
    benchmark = done[0]
    assert benchmark.trainings.find(other, prepared_shop, 1) is None
    assert benchmark.trainings.find(CONTENDERS[0].model, prepared_shop, 3) is None
    training = benchmark.spec.training.model_copy(update={"learning_rate": 0.1})
    spec = benchmark.spec.model_copy(update={"training": training})
    trainings = Trainings(spec, folder / "trainings")
    assert trainings.find(CONTENDERS[0].model, prepared_shop, 1) is None


@pytest.mark.parametrize(
    ("module", "is_taken"),
    [("midpg.py", False), ("trainer.py", False), ("figures.py", False), ("t.py", True)],
)
def test_other_code_is_another_training(
    done, prepared_shop, monkeypatch, module, is_taken
):
    read = Path.read_bytes

    def edited(file):
        return read(file) + b"# edited" * (file.name == module)

    monkeypatch.setattr(Path, "read_bytes", edited)
    before = done[0].trainings
    after = Trainings(before.spec, before.folder)
    model = CONTENDERS[0].model
    assert (after.find(model, prepared_shop, 1) is not None) == is_taken
    assert before.find(model, prepared_shop, 1) is not None


def test_scores_are_not_taken_for_rows_in_another_order(done, prepared_shop, tmp_path):
    trainings, model = done[0].trainings, CONTENDERS[0].model
    again = prepared_shop._replace(root=tmp_path / prepared_shop.root.name)
    again.root.mkdir()
    for fingerprint, is_taken in ((prepared_shop.fingerprint, True), ("other", False)):
        (again.root / "fingerprint").write_text(fingerprint)
        assert (trainings.find(model, again, 1) is not None) == is_taken


def test_a_training_sees_rows_of_train_and_eval_only(
    make, tmp_path, prepared_shop, monkeypatch
):
    found = []

    def fit(model, training, *datasets, **_):
        for dataset in datasets[:2]:
            items = np.concatenate([rows["item"] for rows, *_ in dataset])
            found.append((len(items), (items < len(known)).mean()))
        raise KeyboardInterrupt

    known = prepared_shop.vocabularies()["item"]
    monkeypatch.setattr(pipeline.benchmark.training, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)[0].trainings.run(CONTENDERS[0].model, prepared_shop, 1)
    # The test split has none of the items.
    assert found == [(240, 1), (80, 1)]


def test_an_interrupted_training_leaves_no_result(make, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    benchmark, _ = make(tmp_path, (1,))
    monkeypatch.setattr(pipeline.benchmark.training, "figures", interrupt)
    with pytest.raises(KeyboardInterrupt):
        benchmark.run()
    assert list(tmp_path.glob("trainings/*.json")) == []


def test_a_seed_gives_the_same_model_again(done, make, tmp_path, prepared_shop):
    trainings = make(tmp_path)[0].trainings
    result = trainings.run(CONTENDERS[0].model, prepared_shop, 1)
    assert result.splits == done[1][0].result.splits


def test_speed_is_of_the_rows_that_are_trained_on(
    make, tmp_path, prepared_shop, shop_rows, monkeypatch
):
    monkeypatch.setattr(EpochClock, "examples_per_second", lambda self, rows: rows)
    model = ModelSpec(name="mlp", hidden=[8], negative_rate=0.25)
    result = make(tmp_path)[0].trainings.run(model, prepared_shop, 1)
    likes = sum(row["liked"] for row in shop_rows[:240])
    assert result.examples_per_second == likes + 0.25 * (240 - likes)


def test_records(done, tmp_path):
    _, trials, _ = done
    found = list(records(trials))
    assert all(list(record) == KEYS for record in found)
    assert len(found) == 4 * 2 * (1 + len(SCENARIOS))
    assert {r["scenario"] for r in found} == {None, *SCENARIOS}
    assert {r["split"] for r in found} == {"eval", "test"}
    for record in found:
        assert record["examples_per_second"] > 0
    overall = [r for r in found if r["scenario"] is None]
    assert all(r["rows"] == 80 for r in overall)
    # By rows, over the scenarios.
    parts = [
        r
        for r in found
        if (r["model"], r["seed"], r["split"]) == ("mlp", 1, "test") and r["scenario"]
    ]
    expected = sum(r["auc"] * r["rows"] for r in parts) / 80
    assert overall[1]["gauc"] == pytest.approx(expected)
    write_json(found, tmp_path / "new" / "records.json")
    assert json.loads((tmp_path / "new" / "records.json").read_text()) == found
    write_csv(found, tmp_path / "records.csv")
    with (tmp_path / "records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == KEYS
    assert rows[0]["scenario"] == ""
    assert float(rows[3]["auc"]) == found[3]["auc"]


def test_the_figures_are_of_the_kept_scores(done, prepared_shop):
    benchmark, trials, _ = done
    rows, scores = benchmark.scored(1)
    positive = scores["midpg"][rows.labels == 1]
    negative = scores["midpg"][rows.labels == 0]
    pairs = positive[:, np.newaxis] - negative
    won = (pairs > 0).mean() + (pairs == 0).mean() / 2
    assert trials[1].result.splits["test"][0].auc == pytest.approx(won, abs=1e-9)


def test_comparison_over_seeds(done):
    benchmark, trials, _ = done
    lines = compare(benchmark, trials)
    assert [(line.scenario, line.model) for line in lines] == [
        (scenario, model)
        for scenario in ("overall", *SCENARIOS)
        for model in ("mlp", "midpg")
    ]
    assert lines[0].gains is None
    mlp, midpg = (
        [t.result.splits["test"][0].auc for t in trials if t.name == name]
        for name in ("mlp", "midpg")
    )
    assert lines[0].auc.mean == pytest.approx(sum(mlp) / 2)
    assert lines[0].auc.deviation == pytest.approx(abs(mlp[0] - mlp[1]) / math.sqrt(2))
    differences = [midpg[0] - mlp[0], midpg[1] - mlp[1]]
    # Student's 12.7062 for 1 degree of freedom.
    half = 12.7062 * abs(differences[0] - differences[1]) / 2
    gain = lines[1].gains.auc
    assert gain.value == pytest.approx(sum(differences) / 2)
    # The split is by time, so that seeds share the rows, whose error is another one.
    assert gain.high > gain.value + half + 1e-4
    assert errors_covered(benchmark) == "seeds and test rows"


def test_comparison_over_seeds_that_draw_their_rows(done):
    benchmark, trials, _ = done
    split = HashSplit(by="hash", eval=0.2, test=0.2)
    data = benchmark.spec.data.model_copy(update={"split": split})
    benchmark.spec = benchmark.spec.model_copy(update={"data": data})
    gain = compare(benchmark, trials)[1].gains.auc
    mlp, midpg = (
        np.array([t.result.splits["test"][0].auc for t in trials if t.name == name])
        for name in ("mlp", "midpg")
    )
    # 12.7062 standard errors, of the variance 1 / 2 + 0.2 / 0.6 of the differences'.
    half = 12.7062 * np.std(midpg - mlp, ddof=1) * math.sqrt(5 / 6)
    assert gain.high == pytest.approx(gain.value + half, abs=1e-4)
    assert errors_covered(benchmark) == "seeds and their splits"


def test_comparison_of_one_seed_is_a_bootstrap(done, make, folder, no_training):
    no_training()
    benchmark, _ = make(folder, (1,))
    lines = compare(benchmark, benchmark.run())
    gain = lines[1].gains.auc
    assert gain.value == pytest.approx(lines[1].auc.mean - lines[0].auc.mean)
    assert gain.low < gain.high
    assert math.isnan(lines[1].auc.deviation)


def test_verdicts_on_scenarios_hold_together(
    done, make, folder, no_training, monkeypatch
):
    no_training()
    benchmark, _ = make(folder, (1,))
    gains = Gains(*[Interval(value=0.01, low=0.0045, high=0.02)] * 2)
    monkeypatch.setattr(comparison, "bootstrap_gains", lambda *_, **__: gains)

    def verdicts(min_conversions):
        few = ScenarioBounds(min_conversions=min_conversions, min_clusters=1)
        gates = benchmark.spec.gates.model_copy(update={"per_scenario": few})
        benchmark.spec = benchmark.spec.model_copy(update={"gates": gates})
        lines = [line for line in compare(benchmark, benchmark.run()) if line.gains]
        for line in lines:
            assert line.gains.auc.low == pytest.approx(0.0045)
        return [line.verdict for line in lines]

    # Of 4.6 items at most, in effect: four intervals need a confidence of 1 - .05 / 4,
    # in Student's distribution of 3.6 degrees of freedom 4.7 standard errors for 1.96
    # ones, which reach below 0; one alone needs 2.9, and all rows, of 5.8 items, 2.6.
    assert verdicts(1) == ["gains"] + ["cannot tell"] * 4
    # The smaller class has 8, 3, 7 and 16 rows.
    assert verdicts(9)[1:] == ["too few"] * 3 + ["gains"]


@pytest.mark.parametrize("seeds", [(1, 2), (1,)])
def test_comparison_on_the_eval_split(done, make, folder, no_training, seeds):
    no_training()
    benchmark, text = make(folder, seeds, split="eval")
    trials = benchmark.run()
    lines = compare(benchmark, trials)
    mlp = [t.result.splits["eval"][0].auc for t in trials if t.name == "mlp"]
    assert lines[0].auc.mean == pytest.approx(np.mean(mlp), abs=1e-12)
    assert f"mlp, seed 1: eval AUC {mlp[0]:.4f}" in text.getvalue()
    assert "test" not in text.getvalue().replace("test 80 rows", "")
    gain = lines[1].gains.auc
    assert gain.value == pytest.approx(lines[1].auc.mean - lines[0].auc.mean, abs=1e-9)
    title = figures_table(lines, "eval").title
    assert title.startswith("Figures on the eval split")


def test_tables(done):
    benchmark, trials, _ = done
    lines = compare(benchmark, trials)
    figures = figures_table(lines, "test")
    assert figures.rows[0][:3] == ["overall", "80", "mlp"]
    assert figures.rows[1][:3] == ["", "", "midpg"]
    assert figures.sections == {1, 3, 5, 7, 9}
    gains = gains_table(lines, 0.95, "test rows", 2)
    assert [row[0] for row in gains.rows] == ["overall", *SCENARIOS]
    # A scenario has 12 to 32 test rows; the gate on scenarios asks for 30 conversions.
    assert gains.rows[0][-1] in {"gains", "loses", "cannot tell"}
    assert [row[-1] for row in gains.rows[1:]] == ["too few"] * len(SCENARIOS)
    assert "Gains over mlp [95% interval over test rows]" in gains.markdown()
    assert gains.markdown().endswith(f"|\n\n{gains.note}")
    assert "wider than these, for the number of scenarios judged" in gains.note
    assert gains.markdown().splitlines()[2:4] == [
        "| scenario | rows | model | AUC | log loss | verdict on AUC |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    of_one_seed = gains_table(lines, 0.95, "test rows", 1)
    assert of_one_seed.headings[-1] == "verdict on these trainings"
    assert of_one_seed.rows == gains.rows
    costs = cost_table(trials)
    assert [row[:2] for row in costs.rows] == [["mlp", "8"], ["midpg", "8"]]
    # 17 inputs, a hidden layer of 8, an output.
    assert costs.rows[0][3] == str(18 * 8 + 9)
    assert "| parameters | behind embeddings |" in costs.markdown()
    (matrices,) = matrices_table(trials).rows
    assert matrices[0] == "midpg"
    assert matrices[-1] == "25.0%"
    assert matrices_table([t for t in trials if t.name == "mlp"]) is None
    for width in (40, 80, 120):
        console = Console(file=io.StringIO(), width=width)
        for table in (figures, gains, costs):
            console.print(table.rich())
        # A narrow terminal wraps figures, and cuts none of them off.
        assert "…" not in console.file.getvalue()
    assert "verdict on AUC" in console.file.getvalue()


def test_a_training_without_figures_costs_no_report(
    done, make, folder, no_training, tmp_path
):
    no_training()
    shutil.copytree(folder / "trainings", tmp_path / "trainings")
    for file in (tmp_path / "trainings").glob("midpg-*.json"):
        content = json.loads(file.read_text())
        content["diagnostics"]["matrix_diversity"] = None
        for one in content["splits"]["test"]:
            one.update(auc=None, gauc=None, logloss=None, calibration=None)
        file.write_text(json.dumps(content))
    benchmark, text = make(tmp_path)
    trials = benchmark.run()
    assert "seed 1: test AUC undefined, log loss undefined;" in text.getvalue()
    lines = compare(benchmark, trials)
    assert figures_table(lines, "test").rows[1][3:] == ["", "", "", ""]
    assert gains_table(lines, 0.95, "seeds", 2).rows[0][3:] == ["", "", "cannot tell"]
    (matrices,) = matrices_table(trials).rows
    assert matrices[2] == ""
    write_json(list(records(trials)), tmp_path / "records.json")


def test_the_gap_to_the_truth(done):
    benchmark, trials, _ = done
    lines = compare(benchmark, trials)

    def best(line, rows=None, auc=1.0):
        return Figures(
            scenario=None if line.scenario == "overall" else line.scenario,
            rows=rows or int(line.rows),
            auc=auc,
            gauc=1.0,
            logloss=0.1,
            calibration=1.0,
        )

    found = gaps(lines, "test", [best(line) for line in lines[::2]])
    assert [(gap.scenario, gap.model) for gap in found] == [
        (scenario, "midpg") for scenario in ("overall", *SCENARIOS)
    ]
    mlp, midpg = lines[0].auc.mean, lines[1].auc.mean
    assert found[0].closed == pytest.approx((midpg - mlp) / (1 - mlp))
    assert gaps_table(found).rows[0][-1] == f"{found[0].closed:.0%}"
    # A baseline that is luckier than the truth leaves no gap.
    for auc in (mlp, mlp - 0.01):
        lucky = gaps(lines, "test", [best(line, auc=auc) for line in lines[::2]])
        assert math.isnan(lucky[0].closed)
        assert gaps_table(lucky).rows[0][-1] == ""
    other = [best(line, rows=81) for line in lines[::2]]
    for split in ("eval", "test"):
        message = f"expected the truth of 80 {split} rows, found 81"
        with pytest.raises(ValueError, match=message):
            gaps(lines, split, other)


def test_the_same_parameters_for_all(make, tmp_path, monkeypatch):
    contenders = [
        Contender("mlp", ModelSpec(name="mlp", hidden=[64, 32])),
        Contender("midpg", ModelSpec(name="midpg", hidden=[64, 32], rank=2)),
    ]
    benchmark, _ = make(tmp_path, (1,), budget="parameters", contenders=contenders)
    monkeypatch.setattr(benchmark, "_trial", lambda one, *_: one)
    mlp, midpg = benchmark.run()
    assert mlp.model.settings["hidden"] == [64, 32]
    sizes = [dense_parameters(benchmark._build(one)) for one in (mlp, midpg)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)
    assert midpg.model.settings["hidden"][0] < 64


def test_a_budget_that_cannot_be_met_is_told_before_any_training(
    make, tmp_path, no_training
):
    no_training()
    benchmark, _ = make(tmp_path, (1,), budget="parameters")
    with pytest.raises(ValueError, match="midpg: expected some 153 parameters"):
        benchmark.run()


def test_overhead_by_hand(make, tmp_path):
    # 17 inputs, one hidden layer of 8, 4 scenarios out of two fields with 2 values.
    benchmark, _ = make(tmp_path, (1,))
    spec = benchmark.spec.model_copy(
        update={
            "model": ModelSpec(
                name="midpg", hidden=[8], rank=2, mi_weight=0, context=3, auxiliary=[5]
            )
        }
    )
    benchmark.spec = spec
    benchmark._prepare()
    overhead = benchmark.overhead()
    context = 3 * (3 + 3)  # an embedding of each field's 2 values and unknown ones
    auxiliary = (6 + 1) * 5
    hidden = (18 * 2 + 2 * 8) + 5 * 4  # U and V, and the core
    head = (9 * 2 + 2 * 1) + 5 * 4
    assert overhead.parameters == context + auxiliary + hidden + head
    assert overhead.hidden == 18 * 8
    assert f"{overhead.parameters / 144:.1%} of the hidden layers' 144" in str(overhead)

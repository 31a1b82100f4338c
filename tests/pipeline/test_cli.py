"""The command `midpg`: what it says about bad input, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pytest
from tfx.components.infra_validator.error_types import GracefulShutdown

import pipeline.run
from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.gates import GateReport, ModelFigures, Refusal, Slice
from pipeline.run import RunOutcome
from transform.runner import IN_PROCESS
from transform.summary import RowCount, Summary


@pytest.fixture
def refused(command, tmp_path):
    """Runs a bad data-set file; gives the lines of the error but for the log's.

    `started` are the components that the terminal shows.
    """

    def run(file, *, started=()):
        found = command("run", file)
        assert found.code == 1
        assert found.out == list(started)
        *lines, log = found.err
        assert lines[0].startswith("Error: ")
        lines[0] = lines[0].removeprefix("Error: ")
        # What a developer needs is in the log.
        path = log.removeprefix("log: ")
        assert path.startswith(str(tmp_path / ".midpg" / "logs" / "shop-"))
        with open(path) as file:  # noqa: PTH123
            assert "Traceback" in file.read()
        assert not list(tmp_path.glob(".midpg/*/serving/*"))
        return lines

    return run


HELP = """
import sys
from click.testing import CliRunner
from pipeline.cli import main

def ask(command, *path):
    for flag in ("-h", "--help"):
        result = CliRunner().invoke(main, [*path, flag])
        assert (result.exit_code, result.output[:7]) == (0, "Usage: "), path
    print(*path)
    for name, sub_command in getattr(command, "commands", {}).items():
        ask(sub_command, *path, name)

ask(main)
heavy = {
    "apache_beam", "matplotlib", "numpy", "pandas", "pydantic", "tensorflow", "tfx"
}
print(*sorted(heavy & set(sys.modules)))
"""
"""Asks each command for help: prints their names, and what was imported for it."""


def test_help_needs_no_tensorflow():
    output = subprocess.check_output([sys.executable, "-c", HELP], text=True)
    *commands, imported = output.splitlines()
    assert set(commands) >= {"", "run", "serve", "predict", "benchmark quality"}
    assert imported == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument 'SPEC.yaml'"),
        (["run", "a.yaml", "--cahce"], "No such option '--cahce'"),
        (["demo", "--data", "netflix"], "'netflix' is not one of"),
        (["data", "fetch", "netflix"], "'netflix' is not one of"),
        (
            ["benchmark", "speed", "--skews", "0,x"],
            "found '0,x': 'x' is not a valid float",
        ),
        (["benchmark", "speed", "--hidden", "8;4"], "'8;4' is not a valid integer"),
        (["benchmark", "speed", "--scenarios", "0"], "0 is not in the range x>=1"),
        (
            ["benchmark", "quality", "--spec", __file__, "--seeds", "1,-1"],
            "-1 is not in the range 0<=x<=4294967295",
        ),
    ],
)
def test_wrong_usage_is_exit_code_2(command, arguments, told):
    found = command(*arguments)
    assert found.code == 2
    assert told in found.err[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["data", "movielens-1m", "nowhere"],
            "expected MovieLens-1M's ratings.dat, found no such file in nowhere;",
        ),
        pytest.param(
            ["benchmark", "speed", "--models", "nosuch"],
            "found 'nosuch'",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_command_without_a_log_tells_one_message(arguments, told):
    # In a process of its own: under pytest, loggers have handlers.
    code = f"from pipeline.cli import main\nmain({arguments})"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    # TensorFlow writes lines of its own as it starts.
    _, message = found.stderr.split("Error: ")
    assert message.startswith("expected ")
    assert told in message
    assert len(message.splitlines()) == 1


def test_no_file(command, tmp_path):
    file = tmp_path / "typo" / "shop.yaml"
    found = command("run", file)
    assert found.code == 1
    assert found.err == [
        f"Error: {file}: expected a data-set file, found No such file or directory"
    ]
    # Not even a folder for a log.
    assert list(tmp_path.iterdir()) == []


def test_the_demo_without_the_examples(command, tmp_path, monkeypatch):
    examples = tmp_path / "site-packages" / "examples"
    monkeypatch.setattr("pipeline.commands.run._EXAMPLES", examples)
    found = command("demo", "--data", "obd")
    assert found.code == 1
    assert found.err == [
        f"Error: {examples}: expected the repository's examples, found no obd.yaml;"
        " they aren't installed with the package: call `make demo` in a copy of the"
        " repository, or `midpg run` with a data-set file of your own"
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_demo_in_a_folder_with_brackets_and_blanks(
    command, write_dataset, make_rows, tmp_path, monkeypatch
):
    write_dataset(make_rows(1))
    examples = tmp_path / "my [new] examples"
    examples.mkdir()
    (tmp_path / "shop.yaml").rename(examples / "obd.yaml")
    monkeypatch.setattr("pipeline.commands.run._EXAMPLES", examples)
    rows = examples / "rows.csv"
    monkeypatch.setattr(
        "pipeline.datasets.fetch", lambda _, path: path.write_text("a\n") - 1
    )
    monkeypatch.setattr("pipeline.serving_check.check_serving", lambda *_: None)
    report = GateReport(slices=[OVERALL], refusals=[])
    outcome = RunOutcome(
        report,
        [],
        trained=tmp_path,
        version=3,
        unservable=None,
        pushed=True,
        uncompared=False,
        data=DATA,
    )
    monkeypatch.setattr(pipeline.run, "run_pipeline", lambda *_, **__: outcome)

    found = command("demo", "--data", "obd")

    assert (found.code, found.err) == (0, [])
    assert found.out[0].startswith(f"1 rows in {rows} (")
    assert rows.read_text() == "a\n"
    root = examples / ".midpg" / "shop"
    assert (
        "serve it:  midpg serve --port=8500 --model_name=shop"
        f" --model_base_path='{root}/serving'"
    ) in found.out


@pytest.mark.parametrize("blocked", ["runs", "runs/here/logs"])
def test_no_place_for_a_log(command, write_dataset, make_rows, tmp_path, blocked):
    file = write_dataset(make_rows(1))
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).write_text("a file")
    root = tmp_path / "runs" / "here"
    found = command("run", file, "--root", root)
    assert found.code == 1
    (line,) = found.err
    assert line.startswith(f"Error: {root}/logs/shop-")
    assert ".log: expected to write a log there, found " in line
    assert line.endswith("; choose another folder with --root or MIDPG_ROOT")


def test_unknown_key(refused, write_dataset, content, make_rows):
    content["model"]["hiden"] = [8]
    file = write_dataset(make_rows(10))
    (line,) = refused(file)
    assert line.startswith(f"{file}: model: expected keys out of ['activation', ")
    assert line.endswith("found the unknown key 'hiden'; did you mean 'hidden'?")


def test_scenario_that_is_no_feature(refused, write_dataset, content, make_rows):
    content["scenario"] = ["channel", "region"]
    file = write_dataset(make_rows(10))
    assert refused(file) == [
        f"{file}: scenario: expected the name of a feature, found 'region', which is"
        " none of ['channel', 'device', 'item', 'price', 'tags']; add it under features"
    ]


def test_several_problems_are_told_at_once(refused, write_dataset, content, make_rows):
    content["training"]["epochs"] = 0
    content["gates"]["auc"] = {"min": 2}
    file = write_dataset(make_rows(10))
    lines = refused(file)
    assert [line.split(": ")[1] for line in lines] == [
        "training.epochs",
        "gates.auc.min",
    ]


def test_wrong_type_in_a_column(refused, write_dataset, make_rows):
    rows = make_rows(40)
    rows[17]["price"] = "cheap"
    rows[20]["liked"] = "yes"
    file = write_dataset(rows)
    data = file.with_name("rows.csv")
    assert refused(file, started=["DatasetExampleGen"]) == [
        f"{data}, row 19, column 'price': expected a finite number, found 'cheap'",
        f"{data}, row 22, column 'liked': expected a label of 0 or 1, found 'yes'",
        "2 problems in 40 rows of 1 file; correct the rows, or the description of"
        " their columns",
    ]


def test_a_column_that_is_not_there_leaves_no_temporary_files(
    refused, write_dataset, make_rows, monkeypatch, tmp_path
):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    rows = [{k: v for k, v in row.items() if k != "price"} for row in make_rows(1)]
    (line,) = refused(write_dataset(rows), started=["DatasetExampleGen"])
    assert "rows.csv: expected the column 'price', found the columns " in line
    assert list((tmp_path / "temporary").iterdir()) == []


def test_errors_of_libraries_are_named_and_short(
    refused, write_dataset, make_rows, monkeypatch
):
    def fail(*args, **kwargs):
        raise KeyError("price")

    monkeypatch.setattr(pipeline.run, "run_pipeline", fail)
    assert refused(write_dataset(make_rows(1))) == ["KeyError: 'price'"]


def test_another_file_of_the_same_name_is_refused(refused, write_dataset, make_rows):
    file = write_dataset(make_rows(1))
    folder, other = file.parent / ".midpg" / "shop", file.with_name("other.yaml")
    folder.mkdir(parents=True)
    other.touch()
    (folder / "data_set_file").write_text(f"{other}\n")
    (line,) = refused(file)
    assert line.startswith(f"{folder}: expected the runs of {file}, found those of")
    assert {found.name for found in folder.iterdir()} == {"data_set_file", "run.lock"}


@pytest.mark.parametrize(
    ("place", "command_line", "extra"),
    [
        ("pipeline.run.run_pipeline", "run shop.yaml", "pipeline"),
        ("serving.commands.predict.open_rows", "predict shop.yaml", "serving"),
        (
            "pipeline.benchmark.command.run_quality",
            "benchmark quality --spec shop.yaml",
            "benchmark",
        ),
    ],
)
def test_what_a_command_lacks_is_told_with_how_to_get_it(
    command, write_dataset, make_rows, monkeypatch, place, command_line, extra
):
    def fail(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'tfx'", name="tfx")

    file = write_dataset(make_rows(1))
    monkeypatch.setattr(place, fail)
    monkeypatch.chdir(file.parent)
    rows = ["--rows", "rows.csv"] if "predict" in command_line else []
    found = command(*command_line.split(), *rows)
    assert found.code == 1
    assert found.err == [
        f"Error: No module named 'tfx'; this command needs: pip install '.[{extra}]'"
    ]


@pytest.mark.parametrize(("free", "told"), [(0, True), (2**30, False)])
def test_an_error_on_a_full_disk_says_so(
    refused, write_dataset, make_rows, monkeypatch, tmp_path, free, told
):
    def fail(*args, **kwargs):
        raise ValueError("no transaction is active")

    monkeypatch.setattr(pipeline.run, "run_pipeline", fail)
    monkeypatch.setattr(
        "pipeline.commands.session.shutil.disk_usage",
        lambda folder: SimpleNamespace(free=free),
    )
    room = (
        f"{tmp_path}/.midpg/logs: expected room on the disk, found 0 bytes; make room,"
        " and run again"
    )
    assert refused(write_dataset(make_rows(1))) == [
        "no transaction is active",
        *([room] if told else []),
    ]


def interrupt(*_):
    raise KeyboardInterrupt


def interrupt_beam():
    with beam.Pipeline(runner=IN_PROCESS) as steps:
        steps | beam.Create([1]) | beam.Map(interrupt)


def terminate():
    raise GracefulShutdown("Got signal 15.")


def signal_to_end():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)


@pytest.mark.parametrize("stop", [interrupt, interrupt_beam, terminate, signal_to_end])
def test_a_run_that_is_stopped_says_that_it_can_go_on(
    command, write_dataset, make_rows, monkeypatch, tmp_path, stop
):
    monkeypatch.setattr(pipeline.run, "run_pipeline", lambda *_, **__: stop())
    found = command("run", write_dataset(make_rows(1)))
    assert found.code == 1
    assert found.out[0] == "stopped; the next run goes on from here"
    log = found.out[1].removeprefix("log:       ")
    assert log.startswith(str(tmp_path / ".midpg" / "logs" / "shop-"))
    assert found.err[-1] == "Aborted!"


def test_files_lie_where_the_option_says(command, tmp_path):
    (tmp_path / "empty.yaml").touch()
    found = command("run", tmp_path / "empty.yaml", "--root", tmp_path / "runs")
    assert found.code == 1
    assert [path.name for path in (tmp_path / "runs" / "logs").iterdir()] == [
        found.err[-1].rpartition("/")[2]
    ]
    assert not (tmp_path / ".midpg").exists()


INTERVAL = Interval(value=0.6, low=0.5, high=0.65)
FIGURES = ModelFigures(auc=INTERVAL, log_loss=INTERVAL, calibration=INTERVAL)
DATA = Summary(
    fields=(),
    counts=[
        RowCount(split=split, scenario=(), label=1, rows=1)
        for split in ("train", "eval", "test")
    ],
    files={"rows.csv": 3},
)

OVERALL = Slice(
    name="overall",
    rows=1000,
    positives=250,
    judged=True,
    models={"candidate": FIGURES, "baseline": FIGURES},
    gains={"baseline": INTERVAL},
    increases={},
)
REFUSAL = Refusal(
    gate="per_scenario.min_auc",
    slice="app/desk",
    figure="AUC",
    found=INTERVAL,
    bound="at least 0.7",
)
REFUSED = (
    "refused: gate per_scenario.min_auc, scenario app/desk: AUC is 0.6000 [0.5000,"
    " 0.6500], expected at least 0.7"
)
UNSERVABLE = "refused: gate infrastructure: the model can't serve: no [tensor]"


@pytest.mark.parametrize(
    ("refusals", "outcome", "code", "lines"),
    [
        ([], {"version": 7, "pushed": True}, 0, ["pushed: {serving}/7"]),
        (
            [],
            {"version": 7, "pushed": True, "uncompared": True},
            0,
            [
                "pushed: {serving}/7",
                "warning: it was pushed without a comparison with the model in"
                " production, for the reason noted above",
            ],
        ),
        ([], {"version": 7}, 0, ["not pushed: version 7 is still the newest"]),
        (
            [REFUSAL],
            {"version": 7},
            3,
            [REFUSED, "not pushed: version 7 is still the newest"],
        ),
        (
            [],
            {"version": None, "unservable": "no [tensor]"},
            3,
            [UNSERVABLE, "not pushed: there is no version to serve"],
        ),
    ],
)
def test_the_outcome_is_told_and_decides_the_exit_code(
    command,
    write_dataset,
    make_rows,
    monkeypatch,
    tmp_path,
    refusals,
    outcome,
    code,
    lines,
):
    asked = []
    curves = tmp_path / "trained models" / "tensorboard"
    curves.mkdir(parents=True)
    report = GateReport(slices=[OVERALL], refusals=refusals)
    notes = ["[new]", "no comparison [/b]"]

    def run(spec, paths, *, enable_cache, models_file, model_name):
        asked.append((spec.name, paths.root, enable_cache, models_file, model_name))
        usual = {
            "unservable": None,
            "pushed": False,
            "uncompared": False,
            "data": DATA,
        }
        return RunOutcome(report, notes, trained=curves.parent, **(usual | outcome))

    monkeypatch.setattr(pipeline.run, "run_pipeline", run)
    file = write_dataset(make_rows(1))
    config = ("--config", file, "--model_name", "ranker")
    found = command("run", file, "--no-cache", *config)
    assert found.code == code
    root = file.parent / ".midpg" / "shop"
    assert asked == [("shop", root, False, file, "ranker")]
    shown = [" ".join(line.split()) for line in found.out]
    serving = file.parent / ".midpg" / "shop" / "serving"
    lines = [
        *lines,
        f"trained: {curves.parent}",
        f"curves: tensorboard --logdir '{curves}'",
    ]
    expected = [line.format(serving=serving) for line in lines]
    start = shown.index("note: no comparison [/b]") + 1
    assert shown[start - 2] == "note: [new]"
    assert shown[start : start + len(lines)] == expected
    page = Path(shown[start + len(lines)].removeprefix("report: "))
    assert page.parent == root / "reports"
    assert "no comparison [/b]" in page.read_text()
    assert any(line.startswith("overall 1,000 25.0% baseline 0.6000") for line in shown)
    assert found.err == []


@pytest.mark.slow
def test_what_tensorflow_says_of_itself_is_left_out(tmp_path):
    arguments = ["data", "synth", "--rows=1000", "--output=synth"]
    found = subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("1,000 rows in ")


def test_a_run_needs_the_file_that_it_is_told_of(
    command, write_dataset, make_rows, tmp_path
):
    found = command("run", write_dataset(make_rows(1)), "--config", tmp_path / "none")
    assert found.code == 1
    assert found.err[0] == (
        "Error: --config: expected the server's model configuration file, found none:"
        f" {tmp_path / 'none'}"
    )

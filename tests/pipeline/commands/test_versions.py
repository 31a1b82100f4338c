"""`midpg promote`, `rollback` and `status`, with a server on a real port."""

from __future__ import annotations

import json
import shutil
import time
from types import SimpleNamespace

import pytest

from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.gates import ModelFigures
from pipeline.paths import RunPaths
from serving.embedded.server import ModelServer


@pytest.fixture
def shop(write_dataset, make_rows, scorers):
    """A data-set file, and two pushed versions."""
    file = write_dataset(make_rows(1))
    paths = RunPaths(file.parent / ".midpg" / "shop")
    for version in (100, 200):
        target = paths.serving / str(version)
        shutil.copytree(scorers(1.0) / "Format-Serving", target)
    return file, paths


@pytest.fixture
def server(shop):
    _, paths = shop
    paths.models_config.write_text(
        f'model_config_list {{ config {{ name: "shop" base_path: "{paths.serving}"'
        ' model_platform: "tensorflow"'
        " model_version_policy { specific { versions: 100 } }"
        ' version_labels { key: "stable" value: 100 } } }'
    )
    with ModelServer(
        model_config_file=str(paths.models_config),
        port=-1,
        isolate_models=False,
        file_system_poll_wait_seconds=0.05,
        allow_version_labels_for_unavailable_models=True,
    ) as server:
        yield server


@pytest.fixture
def run(command, shop, server):
    """Runs a command on the shop and its server."""
    file, _ = shop

    def run(name, *arguments):
        return command(name, file, *arguments, "--server", server.target)

    return run


def rows_of(lines):
    """The cells of a table's rows, by their version."""
    cells = [line.split() for line in lines]
    return {found[0]: found[1:] for found in cells if found[0] in ("100", "200")}


def test_there_and_back(run, shop):
    _, paths = shop

    found = run("promote")
    assert (found.code, found.err) == (0, [])
    assert found.out == ["stable: version 200 (was 100)", "previous: version 100"]

    found = run("status")
    assert (found.code, found.err) == (0, [])
    assert rows_of(found.out) == {
        "200": ["stable", "yes", "AVAILABLE"],
        "100": ["previous", "yes", "AVAILABLE"],
    }

    found = run("rollback")
    assert (found.code, found.err) == (0, [])
    assert found.out == ["stable: version 100 (was 200)"]

    found = run("promote")
    assert found.code == 1
    assert found.err[0] == (
        "Error: expected a version to promote that wasn't rolled back, found 200 as the"
        " newest, which was; push another one, or name it: midpg promote SPEC.yaml 200"
    )

    found = run("rollback")
    assert found.code == 1
    assert found.err[0] == (
        f"Error: {paths.models_config}: expected the label previous of model shop,"
        " found stable=100; name a version to promote"
    )
    assert found.err[1].startswith("log: ")


def test_a_canary(run):
    found = run("promote", "200", "--label", "canary")
    assert found.out == [
        "canary: version 200 (no version had it)",
        "stable: version 100",
        "note: requests that name no label go to the newest version that is loaded,"
        " 200; let clients ask for stable",
    ]

    found = run("rollback", "--label", "canary")
    assert (found.code, found.err) == (0, [])
    assert found.out == ["canary: version 100 (was 200)", "stable: version 100"]
    found = run("promote")
    assert found.code == 1
    assert "found 200 as the newest, which was;" in found.err[0]


def test_a_version_that_is_not_there(run, shop):
    _, paths = shop
    found = run("promote", "300")
    assert found.code == 1
    assert found.err[0] == (
        f"Error: {paths.serving}: expected version 300, found 100, 200"
    )


def test_json_is_all_that_is_printed(run):
    found = run("status", "--json")
    assert found.code == 0
    listed = json.loads("\n".join(found.out))
    assert listed["reachable"] is True
    assert [one["version"] for one in listed["versions"]] == [200, 100]
    assert listed["versions"][1] == {
        "version": 100,
        "on_disk": True,
        "state": "AVAILABLE",
        "error": None,
        "labels": ["stable"],
        "figures": None,
    }


def test_a_narrow_terminal_cuts_no_figure_off(run, shop, monkeypatch):
    monkeypatch.setattr("serving.commands.terminal._FILE_WIDTH", 80)
    figure = Interval(value=0.6483, low=0.6123, high=0.6789)
    figures = ModelFigures(auc=figure, log_loss=figure, calibration=figure)
    monkeypatch.setattr("pipeline.versions._figures", lambda *_: {100: figures})
    shutil.move(shop[1].serving / "200", shop[1].serving / "1795464608")
    found = run("status")
    words = " ".join(found.out).split()
    for part in ("0.6483", "[0.6123,", "0.6789]"):
        assert words.count(part) == 3
    assert {"1795464608", "AVAILABLE", "stable"} <= set(words)


def test_status_without_a_server(command, shop):
    file, _ = shop
    found = command("status", file, "--server", "127.0.0.1:1")
    assert found.code == 0
    assert rows_of(found.out) == {"200": ["yes", "?"], "100": ["yes", "?"]}
    assert any("note: no server answers at 127.0.0.1:1" in line for line in found.out)


def test_commands_that_take_a_moment_share_a_log_a_day(command, shop, monkeypatch):
    file, paths = shop
    for day in ("25", "26", "26"):
        moment = time.strptime(f"2026-11-{day}", "%Y-%m-%d")
        clock = SimpleNamespace(
            strftime=lambda form, at=moment: time.strftime(form, at)
        )
        monkeypatch.setattr("pipeline.commands.session.time", clock)
        command("status", file, "--server", "127.0.0.1:1")
    logs = sorted((paths.root.parent / "logs").iterdir())
    assert [log.name for log in logs] == ["shop-20261125.log", "shop-20261126.log"]


def test_status_where_no_log_can_be_written(command, shop):
    file, paths = shop
    (paths.root.parent / "logs").write_text("a file")
    found = command("status", file, "--server", "127.0.0.1:1")
    assert (found.code, found.err) == (0, [])
    assert rows_of(found.out) == {"200": ["yes", "?"], "100": ["yes", "?"]}


def test_a_bad_certificate_is_told_as_by_predict(command, shop, tmp_path):
    file, _ = shop
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")

    found = command("status", file, "--root_certificate", bad)

    assert found.code == 1
    assert found.err[0].startswith("Error: tls: expected certificates in PEM")


def test_an_address_that_looks_like_markup(command, shop):
    file, _ = shop
    found = command("status", file, "--server", "[/a]:1")
    assert (found.code, found.err) == (0, [])
    assert rows_of(found.out)["200"] == ["yes", "?"]


def test_promote_without_a_server(command, shop, server):
    file, paths = shop
    text = paths.models_config.read_text()
    found = command("promote", file, "--server", "127.0.0.1:1")
    assert found.code == 1
    assert found.err[0].startswith("Error: no server answers at 127.0.0.1:1: ")
    assert paths.models_config.read_text() == text


def test_promote_without_a_file_says_what_to_write(command, shop, tmp_path):
    file, paths = shop
    found = command("promote", file)
    assert found.code == 1
    assert found.err[0].startswith(
        f"Error: {paths.models_config}: expected the model configuration file of the"
        " server,"
    )
    # What it proposes is a file that a server takes.
    proposed = tmp_path / "proposed.config"
    proposed.write_text("\n".join(found.err[1:-1]))
    with ModelServer(
        model_config_file=str(proposed), port=-1, isolate_models=False
    ) as server:
        assert server.models.names == ["shop"]
        found = command(
            "promote", file, "--config", proposed, "--server", server.target
        )
    assert found.out[0] == "stable: version 200 (no version had it)"


def test_promote_before_anything_was_pushed(command, shop, server):
    file, paths = shop
    shutil.rmtree(paths.serving)
    found = command("promote", file, "--server", server.target)
    assert found.code == 1
    assert found.err[0] == f"Error: base path {paths.serving} is no directory"


def test_another_name_in_the_server(command, shop, tmp_path):
    file, paths = shop
    config = tmp_path / "other.config"
    config.write_text(
        'model_config_list { config { name: "ranker" model_platform: "tensorflow"'
        f' base_path: "{paths.serving}" }} }}'
    )
    options = ["--config", config, "--model_name", "ranker"]
    with ModelServer(
        model_config_file=str(config), port=-1, isolate_models=False
    ) as server:
        options += ["--server", server.target]
        assert command("promote", file, *options).code == 0
        status = command("status", file, *options)
    assert rows_of(status.out)["200"] == ["stable", "yes", "AVAILABLE"]

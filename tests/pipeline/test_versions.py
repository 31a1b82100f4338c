"""What is known of a model's versions, with and without a server."""

from __future__ import annotations

import grpc
import pytest

from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.gates import GateReport, ModelFigures, Slice
from pipeline.versions import list_versions
from serving.control import ServerControl
from serving.errors import ServingError
from serving.status import State, VersionStatus


def figures(auc):
    interval = Interval(value=auc, low=auc - 0.1, high=auc + 0.1)
    return ModelFigures(auc=interval, log_loss=interval, calibration=interval)


@pytest.fixture
def push(store, paths):
    """Pushes a version: on disk, and in the metadata store with its report."""

    def push(version, auc, *, on_disk=True):
        folder = paths.artifacts / "ScenarioGate" / "report" / str(version)
        folder.mkdir(parents=True)
        report = GateReport(
            slices=[
                Slice(
                    name=name,
                    rows=1,
                    positives=1,
                    judged=True,
                    models={"candidate": figures(value), "baseline": figures(0.1)},
                    gains={},
                    increases={},
                )
                for name, value in (("overall", auc), ("app/desk", 0.2))
            ],
            refusals=[],
        )
        (folder / "gates.json").write_text(report.model_dump_json())
        store.push(version, report=str(folder), examples="/e", statistics="/s")
        if on_disk:
            (paths.serving / str(version)).mkdir(parents=True)
            (paths.serving / str(version) / "saved_model.pb").touch()
        return folder

    return push


class Server(ServerControl):
    """A server whose answers are given."""

    def __init__(self, labels, **states):
        super().__init__("127.0.0.1:1")
        self.answers = states
        self.given = labels

    def states(self, model):
        return {
            int(name.removeprefix("v")): VersionStatus(
                int(name.removeprefix("v")),
                State.END if isinstance(state, Exception) else state,
                state if isinstance(state, Exception) else None,
            )
            for name, state in self.answers.items()
        }

    def labelled(self, model, label):
        found = self.given.get(label)
        if isinstance(found, ServingError):
            raise found
        return found


@pytest.fixture
def config(paths):
    def write(*labels):
        text = "".join(
            f'version_labels {{ key: "{label}" value: {version} }}'
            for label, version in labels
        )
        paths.models_config.write_text(
            'model_config_list { config { name: "shop" base_path: "/shop"'
            f' model_platform: "tensorflow" {text} }} }}'
        )

    return write


@pytest.fixture
def listed(paths):
    def listed(server):
        with server:
            return list_versions("shop", paths, paths.models_config, server)

    return listed


def test_all_that_is_known(push, config, listed):
    push(7, 0.7)
    push(9, 0.9)
    config(("stable", 9), ("canary", 9), ("previous", 7))
    server = Server(
        {"stable": 9, "canary": 9, "previous": 7}, v7=State.AVAILABLE, v9=State.LOADING
    )

    found = listed(server)

    assert (found.model, found.server, found.reachable) == ("shop", "127.0.0.1:1", True)
    nine, seven = found.versions
    assert (nine.version, nine.state, nine.labels) == (
        9,
        "LOADING",
        ["canary", "stable"],
    )
    assert (seven.version, seven.state, seven.labels) == (7, "AVAILABLE", ["previous"])
    assert nine.on_disk
    assert (nine.figures, seven.figures) == (figures(0.9), figures(0.7))
    assert found.notes == []


def test_no_server(push, config, listed):
    push(7, 0.7)
    config(("stable", 7))

    found = listed(ServerControl("127.0.0.1:1", timeout=5))

    assert not found.reachable
    (one,) = found.versions
    assert (one.version, one.on_disk, one.state) == (7, True, None)
    assert one.labels == ["stable"]
    assert one.figures == figures(0.7)
    (note,) = found.notes
    assert note.startswith("no server answers at 127.0.0.1:1: ")


def test_versions_that_are_in_one_place_only(push, config, listed, paths):
    push(5, 0.5, on_disk=False)
    config(("stable", 3))
    (paths.serving / "4").mkdir(parents=True)
    (paths.serving / "4" / "saved_model.pb").touch()
    # A copy that isn't complete is no version.
    (paths.serving / "6").mkdir()
    error = ServingError(grpc.StatusCode.DATA_LOSS, "it is damaged")

    found = listed(Server({"stable": 3}, v4=error, v2=State.END))

    assert [(v.version, v.on_disk, v.state, v.error) for v in found.versions] == [
        (4, True, "END", "it is damaged"),
        (3, False, None, None),
        (2, False, "END", None),
    ]
    assert [v.figures for v in found.versions] == [None] * 3


def test_a_label_that_the_server_has_otherwise(push, config, listed):
    push(7, 0.7)
    config(("stable", 7), ("canary", 7))

    found = listed(Server({"stable": 6}, v7=State.AVAILABLE))

    assert found.notes == [
        "label canary: the file says version 7, the server answers with no version",
        "label stable: the file says version 7, the server answers with version 6",
    ]


def test_a_label_that_the_server_does_not_tell(push, config, listed):
    push(7, 0.7)
    config(("stable", 7), ("canary", 7))
    error = ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, "it is busy")

    found = listed(Server({"stable": error, "canary": 7}, v7=State.AVAILABLE))

    assert found.notes == [
        "label stable: the server doesn't tell its version: it is busy"
    ]


def test_what_is_missing_is_told(listed, paths):
    found = listed(Server({}))

    assert found.versions == []
    assert found.notes[:2] == [
        f"{paths.models_config} isn't there, so no labels are known",
        "the server has no model shop",
    ]
    assert found.notes[2].startswith(f"{paths.root}: expected the files of a run")


def test_a_file_that_is_illegal_is_told(push, listed, paths):
    push(7, 0.7)
    paths.models_config.write_text("nonsense")
    (note,) = listed(Server({}, v7=State.AVAILABLE)).notes
    assert note.startswith(f"Invalid protobuf file: '{paths.models_config}'")


def test_a_report_of_an_earlier_form_is_told(push, config, listed):
    folder = push(7, 0.7)
    config(("stable", 7))
    (folder / "gates.json").write_text('{"slices": [{}]}')

    found = listed(Server({"stable": 7}, v7=State.AVAILABLE))

    assert found.versions[0].figures is None
    assert found.notes == [f"version 7: its report in {folder} can't be read"]

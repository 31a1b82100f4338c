"""What is pushed: blessed models that are not in production yet."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tfx.proto import pusher_pb2
from tfx.types import Channel, standard_artifacts
from tfx.utils import json_utils, proto_utils

from pipeline.components.pusher import (
    STAGING,
    NewModelPusher,
    NewModelPusherExecutor,
)
from pipeline.paths import RunPaths
from pipeline.rollbacks import note_rollback


@pytest.fixture
def pushed(artifact):
    return artifact("PushedModel")


@pytest.fixture
def paths(tmp_path):
    return RunPaths(tmp_path)


@pytest.fixture
def push(paths, artifact, pushed):
    """Runs the pusher; gives the names of the files that it wrote."""
    serving = paths.serving

    def versions():
        return set(serving.glob("[0-9]*"))

    def run(
        *,
        blessed=True,
        servable=True,
        candidate=7,
        production=None,
        content=b"model",
        rows="rows",
        recipe_digest="settings",
    ):
        blessing = artifact("ModelBlessing")
        blessing.set_int_custom_property("blessed", int(blessed))
        blessing.set_int_custom_property("current_model_id", candidate)
        if production is not None:
            blessing.set_int_custom_property("baseline_model_id", production)
        blessing.set_string_custom_property("basis", "{}")
        blessing.set_string_custom_property("rows", rows)
        infra = artifact("InfraBlessing")
        infra.set_int_custom_property("blessed", int(servable))
        infra.set_int_custom_property("has_model", int(servable))
        model = Path(infra.uri) / "stamped_model"
        (model / "assets.extra").mkdir(parents=True)
        (model / "saved_model.pb").write_bytes(content)
        (model / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"warm-up")
        destination = pusher_pb2.PushDestination()
        destination.filesystem.base_directory = str(serving)
        before = versions()
        NewModelPusherExecutor().Do(
            {"model_blessing": [blessing], "infra_blessing": [infra]},
            {"pushed_model": [pushed]},
            {
                "push_destination": proto_utils.proto_to_json(destination),
                "custom_config": json_utils.dumps(
                    {
                        "rolled_back": str(paths.rolled_back),
                        "recipe_digest": recipe_digest,
                    }
                ),
            },
        )
        return sorted(
            file.relative_to(folder).parts
            for folder in versions() - before
            for file in folder.rglob("*")
            if file.is_file()
        )

    return run


@pytest.fixture
def add(paths):
    """Makes a version, by default of the candidate's files; gives its folder."""

    def add(version, content=b"model"):
        folder = paths.serving / str(version)
        (folder / "assets.extra").mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(content)
        (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"warm-up")
        return folder

    return add


@pytest.fixture
def clock(monkeypatch):
    """Has pushes happen at a time of 100.5 s."""
    clock = SimpleNamespace(time=lambda: 100.5)
    monkeypatch.setattr("tfx.components.pusher.executor.time", clock)


@pytest.mark.parametrize("production", [None, 3])
def test_a_new_model_is_pushed_with_its_warm_up(push, production):
    assert push(production=production) == [
        ("assets.extra", "midpg_made_of"),
        ("assets.extra", "tf_serving_warmup_requests"),
        ("saved_model.pb",),
    ]


def test_the_version_is_told(push, pushed, tmp_path):
    push()
    (folder,) = (tmp_path / "serving").iterdir()
    assert pushed.get_string_custom_property("pushed_version") == folder.name
    assert pushed.get_string_custom_property("pushed_destination") == str(folder)
    assert pushed.get_int_custom_property("pushed") == 1


def test_the_basis_of_its_comparison_is_told(push, pushed):
    push()
    assert pushed.get_string_custom_property("basis") == "{}"


@pytest.mark.parametrize("blessed", [True, False])
def test_what_a_killed_push_has_left_goes(push, tmp_path, blessed):
    half = tmp_path / "serving" / STAGING / "1"
    half.mkdir(parents=True)
    (half / "variables").write_bytes(b"half")
    push(blessed=blessed)
    assert not (tmp_path / "serving" / STAGING).exists()


def test_a_model_that_is_in_production_is_not_pushed_again(push, pushed, caplog):
    with caplog.at_level(logging.INFO, "midpg.pusher"):
        assert push(candidate=3, production=3) == []
    assert caplog.messages[-1] == (
        "the candidate is the model in production; nothing to push"
    )
    assert pushed.get_int_custom_property("pushed") == 0


@pytest.mark.parametrize("newest", [b"model", b"other"])
def test_the_newest_version_is_not_pushed_again(push, pushed, add, caplog, newest):
    """Until it is promoted, the candidate is compared with another model."""
    add(6)
    add(7, newest)
    is_same = newest == b"model"
    with caplog.at_level(logging.INFO, "midpg.pusher"):
        assert bool(push(candidate=3, production=2)) != is_same
    message = "the candidate is version 7; nothing to push"
    assert (message in caplog.messages) == is_same
    if is_same:
        # A push that was cut off may have left it without a note.
        assert pushed.get_int_custom_property("pushed") == 1
        assert pushed.get_string_custom_property("pushed_version") == "7"
        assert pushed.get_int_custom_property("model_id") == 3


@pytest.mark.parametrize("half", [100, 7])
def test_half_of_a_version_is_left_alone_and_the_model_pushed_anew(
    push, pushed, add, half, clock
):
    """Whoever took it away may go on with it, or copy the rest."""
    folder = add(half)
    (folder / "saved_model.pb").unlink()
    assert ("saved_model.pb",) in push()
    expected = "101" if half == 100 else "100"
    assert pushed.get_string_custom_property("pushed_version") == expected
    assert not (folder / "saved_model.pb").exists()
    assert push() == []


@pytest.mark.parametrize("newest", [6, 7])
@pytest.mark.parametrize("gone", [False, True])
def test_a_model_that_was_rolled_back_does_not_come_again(
    push, pushed, paths, add, caplog, newest, gone
):
    folder = add(6)
    if newest == 7:
        add(7, b"other")
    note_rollback(paths, 6)
    anyway = "midpg promote SPEC.yaml 6"
    if gone:
        (folder / "saved_model.pb").unlink()
        anyway = f"its folder is gone, so take its line out of {paths.rolled_back}"

    assert push() == []

    told = (
        "not pushed: expected a candidate that wasn't rolled back, found version 6,"
        f" which was; train on other rows or settings, or, if you want it all the same:"
        f" {anyway}"
    )
    assert caplog.messages == [told]
    assert pushed.get_string_custom_property("note") == told
    assert pushed.get_int_custom_property("pushed") == 0
    paths.rolled_back.unlink()
    assert bool(push()) == (gone or newest == 7)


@pytest.mark.parametrize(
    ("changes", "is_other"),
    [
        ({}, False),
        ({"rows": "others"}, True),
        ({"recipe_digest": "other settings"}, True),
    ],
)
@pytest.mark.parametrize("gone", [False, True])
def test_what_was_rolled_back_does_not_come_again_when_it_is_trained_anew(
    push, pushed, paths, gone, changes, is_other
):
    """The order of threads gives it other weights."""
    push()
    version = pushed.get_string_custom_property("pushed_version")
    note_rollback(paths, int(version))
    if gone:
        shutil.rmtree(paths.serving / version)
    assert bool(push(content=b"retrained", **changes)) == is_other
    note = pushed.get_string_custom_property("note")
    assert (f"found version {version}, which was" in note) != is_other


def test_what_was_not_rolled_back_comes_when_it_is_trained_anew(push):
    """Some part of the version before may be damaged."""
    push()
    assert push(content=b"retrained") != []


def test_another_model_is_pushed_after_a_rollback(push, paths, add):
    add(6, b"other")
    note_rollback(paths, 6)
    assert push() != []


@pytest.mark.parametrize(("there", "expected"), [(99, 100), (100, 101), (120, 121)])
def test_what_is_pushed_is_the_newest_whatever_the_clock_says(
    push, pushed, paths, add, clock, there, expected
):
    add(there, b"other")
    assert push() != []
    folder = paths.serving / str(expected)
    assert (folder / "saved_model.pb").read_bytes() == b"model"
    assert pushed.get_string_custom_property("pushed_version") == str(expected)
    assert pushed.get_string_custom_property("pushed_destination") == str(folder)


@pytest.mark.parametrize("no", ["blessed", "servable"])
def test_a_refused_model_is_not_pushed(push, pushed, caplog, no):
    with caplog.at_level(logging.ERROR, "midpg.pusher"):
        assert push(**{no: False}) == []
    assert caplog.messages == ["not pushed"]
    assert pushed.get_int_custom_property("pushed") == 0


def test_a_push_never_comes_from_the_cache():
    # Its version may have been removed since.
    one, two = (
        NewModelPusher(
            Channel(standard_artifacts.ModelBlessing),
            Channel(standard_artifacts.InfraBlessing),
            pusher_pb2.PushDestination(),
            rolled_back="file",
            recipe_digest="digest",
        )
        for _ in range(2)
    )
    assert one.exec_properties["custom_config"] != two.exec_properties["custom_config"]

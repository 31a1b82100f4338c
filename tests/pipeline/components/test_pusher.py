"""What is pushed: blessed models that are not in production yet."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tfx.proto import pusher_pb2
from tfx.utils import json_utils, proto_utils

from pipeline.components.pusher import STAGING, NewModelPusherExecutor


@pytest.fixture
def pushed(artifact):
    return artifact("PushedModel")


@pytest.fixture
def push(tmp_path, artifact, pushed):
    """Runs the pusher; gives the names of the files that it wrote."""
    serving = tmp_path / "serving"

    def versions():
        return set(serving.glob("[0-9]*"))

    def run(*, blessed=True, servable=True, candidate=7, production=None):
        blessing = artifact("ModelBlessing")
        blessing.set_int_custom_property("blessed", int(blessed))
        blessing.set_int_custom_property("current_model_id", candidate)
        if production is not None:
            blessing.set_int_custom_property("baseline_model_id", production)
        infra = artifact("InfraBlessing")
        infra.set_int_custom_property("blessed", int(servable))
        infra.set_int_custom_property("has_model", 1)
        model = Path(infra.uri) / "stamped_model"
        (model / "assets.extra").mkdir(parents=True)
        (model / "saved_model.pb").write_bytes(b"model")
        (model / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"warm-up")
        destination = pusher_pb2.PushDestination()
        destination.filesystem.base_directory = str(serving)
        before = versions()
        NewModelPusherExecutor().Do(
            {"model_blessing": [blessing], "infra_blessing": [infra]},
            {"pushed_model": [pushed]},
            {
                "push_destination": proto_utils.proto_to_json(destination),
                "custom_config": json_utils.dumps({"split": "by time"}),
            },
        )
        return sorted(
            file.relative_to(folder).parts
            for folder in versions() - before
            for file in folder.rglob("*")
            if file.is_file()
        )

    return run


@pytest.mark.parametrize("production", [None, 3])
def test_a_new_model_is_pushed_with_its_warm_up(push, production):
    assert push(production=production) == [
        ("assets.extra", "tf_serving_warmup_requests"),
        ("saved_model.pb",),
    ]


def test_the_version_is_told(push, pushed, tmp_path):
    push()
    (folder,) = (tmp_path / "serving").iterdir()
    assert pushed.get_string_custom_property("pushed_version") == folder.name
    assert pushed.get_string_custom_property("pushed_destination") == str(folder)
    assert pushed.get_int_custom_property("pushed") == 1


def test_what_its_rows_were_split_by_is_told(push, pushed):
    push()
    assert pushed.get_string_custom_property("split") == "by time"


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
def test_the_newest_version_is_not_pushed_again(push, pushed, tmp_path, caplog, newest):
    """After a rollback, it isn't the model that the candidate was compared with."""
    for version, content in (("6", b"model"), ("7", newest)):
        folder = tmp_path / "serving" / version
        (folder / "assets.extra").mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(content)
        (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"warm-up")
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


@pytest.mark.parametrize("no", ["blessed", "servable"])
def test_a_refused_model_is_not_pushed(push, pushed, caplog, no):
    with caplog.at_level(logging.ERROR, "midpg.pusher"):
        assert push(**{no: False}) == []
    assert caplog.messages == ["not pushed"]
    assert pushed.get_int_custom_property("pushed") == 0

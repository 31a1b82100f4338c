"""Labels moved in a running server and in its file, over a real port."""

from __future__ import annotations

import contextlib
import fcntl
import stat
import threading

import grpc
import pytest
from tensorflow_serving.config import model_server_config_pb2

from serving.control import ServerControl
from serving.embedded.config_watcher import read_models
from serving.errors import ServingError
from serving.model_config_file import ModelConfigFile
from serving.policies import Latest, Specific
from serving.rollout import Rollout, RolloutError
from serving.status import State

pytestmark = pytest.mark.slow

HEAD = "# The models of the shop.\n#\n\n"


@pytest.fixture
def file(models, publish, tmp_path, entry):
    """Model m in versions 1 to 3 (2, 3 and 2 at x = 0), model other in version 1."""
    for version, name in ((1, "two"), (2, "three"), (3, "two")):
        publish(getattr(models, f"half_plus_{name}"), tmp_path / "m", version)
    publish(models.half_plus_two, tmp_path / "other", 1)
    path = tmp_path / "models.config"

    def write(policy="specific { versions: 1 }", labels="stable=1"):
        versions = dict(pair.split("=") for pair in labels.split())
        path.write_text(
            f"{HEAD}model_config_list {{\n  # of the shop\n"
            f"  {entry(tmp_path, 'm', policy, **versions)}\n"
            f"  {entry(tmp_path, 'other')}\n}}\n"
        )
        return ModelConfigFile(path)

    return write


@pytest.fixture
def start(serve):
    def start(file, **options):
        default = {"allow_version_labels_for_unavailable_models": True}
        return serve(model_config_file=str(file.path), **(default | options))

    return start


@pytest.fixture
def rollout():
    controls = []

    def make(file, server, model="m", **options):
        control = ServerControl(getattr(server, "target", server), timeout=10)
        controls.append(control)
        return Rollout(file, model, control, **options)

    yield make
    for control in controls:
        control.close()


def available(server):
    with ServerControl(server.target) as control:
        states = control.states("m")
    return {v for v, status in states.items() if status.state is State.AVAILABLE}


def labelled(server, *labels):
    with ServerControl(server.target) as control:
        return [control.labelled("m", label) for label in labels]


def in_file(file, model="m"):
    """Labels and versions of a model as a server that starts now would read them."""
    config = read_models(str(file.path))[model]
    return dict(config.labels), config.policy


def test_a_promotion_loads_and_labels(file, start, rollout):
    file = file()
    server = start(file)
    assert available(server) == {1}

    move = rollout(file, server).promote(2)

    assert (move.label, move.before, move.after) == ("stable", 1, 2)
    assert move.labels == {"stable": 2, "previous": 1}
    assert move.notes == ()
    assert labelled(server, "stable", "previous") == [2, 1]
    assert available(server) == {1, 2}
    assert in_file(file) == (move.labels, Specific(frozenset({1, 2})))


def test_only_labelled_versions_stay_loaded(file, start, rollout, eventually):
    file = file()
    server = start(file)
    rollout(file, server).promote(2)

    move = rollout(file, server).promote(3)

    assert move.labels == {"stable": 3, "previous": 2}
    eventually(lambda: available(server) == {2, 3})


def test_a_rollback_goes_back_once(file, start, rollout, eventually):
    file = file()
    server = start(file)
    rollout(file, server).promote(2)

    move = rollout(file, server).rollback()

    assert (move.label, move.before, move.after) == ("stable", 2, 1)
    assert labelled(server, "stable", "previous") == [1, None]
    assert in_file(file) == ({"stable": 1}, Specific(frozenset({1})))
    # Otherwise requests without a label would still go to it.
    eventually(lambda: available(server) == {1})
    with pytest.raises(
        RolloutError, match="expected the label previous of model m, found stable=1;"
    ):
        rollout(file, server).rollback()


def test_a_canary_beside_what_is_stable(file, start, rollout):
    file = file(labels="stable=1 previous=1")
    server = start(file)

    move = rollout(file, server).promote(2, "canary")

    assert move.before is None
    assert move.labels == {"stable": 1, "previous": 1, "canary": 2}
    assert labelled(server, "stable", "canary") == [1, 2]
    (note,) = move.notes
    assert note == (
        "requests that name no label go to the newest version that is loaded, 2; let"
        " clients ask for stable"
    )


def test_no_canary_before_a_version_is_stable(file, start, rollout):
    file = file(policy="", labels="")
    server = start(file)
    assert available(server) == {3}

    unchanged(
        file,
        server,
        lambda: rollout(file, server).promote(2, "canary"),
        "expected the label stable of model m before canary, found no label; promote"
        " the version in production first",
    )

    rollout(file, server).promote(3)
    rollout(file, server).promote(2, "canary")
    assert labelled(server, "stable", "canary") == [3, 2]


def test_a_canary_keeps_its_version_in_a_rollback(file, start, rollout):
    file = file()
    server = start(file)
    for version, label in ((2, "stable"), (3, "canary")):
        rollout(file, server).promote(version, label)

    move = rollout(file, server).rollback()

    assert move.notes[0] == (
        "label canary stays at version 3; if that is bad, roll canary back, too"
    )
    assert labelled(server, "stable", "canary") == [1, 3]


def test_a_canary_is_rolled_back_to_what_is_stable(file, start, rollout, eventually):
    file = file()
    server = start(file)
    for version, label in ((2, "stable"), (3, "canary"), (3, "friends")):
        rollout(file, server).promote(version, label)

    move = rollout(file, server).rollback("canary")

    assert (move.label, move.before, move.after) == ("canary", 3, 2)
    assert move.labels == {"stable": 2, "previous": 1, "canary": 2, "friends": 2}
    assert move.notes == ("label friends had version 3, too; now 2",)
    # Those who ask for the canary are answered all the same.
    assert labelled(server, "stable", "previous", "canary") == [2, 1, 2]
    eventually(lambda: available(server) == {1, 2})
    with pytest.raises(
        RolloutError, match="version 2 is stable, too; roll back stable"
    ):
        rollout(file, server).rollback("canary")


def test_labels_of_what_was_stable_go_along(file, start, rollout, eventually):
    file = file()
    server = start(file)
    for version, label in ((2, "canary"), (3, "friends")):
        rollout(file, server).promote(version, label)
    rollout(file, server).rollback("canary")
    assert labelled(server, "stable", "canary", "friends") == [1, 1, 3]

    move = rollout(file, server).promote(2)

    assert move.labels == {"stable": 2, "previous": 1, "canary": 2, "friends": 3}
    assert move.notes[0] == "label canary had version 1, too; now 2"
    assert labelled(server, "stable", "previous", "canary") == [2, 1, 2]


@pytest.mark.parametrize(
    ("labels", "label", "message"),
    [
        ("stable=1", "canary", "expected the label canary of model m, found stable=1"),
        ("canary=1", "canary", "expected the label stable of model m, found canary=1;"),
        ("stable=1 previous=1", "previous", "label previous: .* choose another"),
    ],
)
def test_a_label_that_cannot_be_rolled_back(
    file, start, rollout, labels, label, message
):
    file = file(labels=labels)
    server = start(file)
    with pytest.raises(RolloutError, match=message):
        rollout(file, server).rollback(label)
    assert in_file(file)[0] == dict.fromkeys(labels.replace("=1", "").split(), 1)


def test_a_rollback_leaves_nobody_with_the_version(file, start, rollout, eventually):
    file = file()
    server = start(file)
    for version, label in ((2, "canary"), (2, "stable")):
        rollout(file, server).promote(version, label)

    move = rollout(file, server).rollback()

    assert (move.before, move.after) == (2, 1)
    assert move.labels == {"stable": 1, "canary": 1}
    assert move.notes == ("label canary had version 2, too; now 1",)
    assert labelled(server, "stable", "canary") == [1, 1]
    eventually(lambda: available(server) == {1})


def test_what_is_stable_already(file, start, rollout):
    file = file()
    server = start(file)
    rollout(file, server).promote(2)

    move = rollout(file, server).promote(2)

    assert (move.before, move.after) == (2, 2)
    assert labelled(server, "stable", "previous") == [2, 1]


def test_another_policy_becomes_specific_and_that_is_told(file, start, rollout):
    file = file(policy="", labels="")
    server = start(file)
    assert available(server) == {3}

    move = rollout(file, server).promote(2)

    assert move.before is None
    assert in_file(file) == ({"stable": 2}, Specific(frozenset({2})))
    (note,) = move.notes
    assert note.startswith("the policy is specific now: a new version is loaded when")


def test_the_rest_of_the_file_stays(file, start, rollout):
    file = file()
    server = start(file)
    file.path.chmod(0o640)

    rollout(file, server).promote(2)

    assert file.text().startswith(f"{HEAD}model_config_list {{\n")
    assert "of the shop\n  config" not in file.text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o640
    assert sorted(file.path.parent.iterdir()) == [
        file.path.parent / name
        for name in (".models.config.lock", "m", "models.config", "other")
    ]
    assert read_models(str(file.path))["other"].policy == Latest(1)
    with ServerControl(server.target) as control:
        assert control.states("other")[1].state is State.AVAILABLE


def test_a_link_stays_one(file, start, rollout, tmp_path):
    file = file()
    link = ModelConfigFile(tmp_path / "link")
    link.path.symlink_to(file.path)
    server = start(file)

    rollout(link, server).promote(2)

    assert link.path.is_symlink()
    assert in_file(file)[0]["stable"] == 2


def test_a_server_that_starts_again_agrees(file, start, rollout, eventually):
    file = file()
    rollout(file, start(file)).promote(2)

    again = start(file)

    eventually(lambda: labelled(again, "stable", "previous") == [2, 1])


def test_a_server_that_polls_its_file_agrees(file, start, rollout, eventually, caplog):
    file = file()
    server = start(file, model_config_file_poll_wait_seconds=0.02)
    caplog.set_level("INFO", logger="serving")

    rollout(file, server).promote(2)

    eventually(lambda: "applied" in caplog.text)
    assert labelled(server, "stable", "previous") == [2, 1]
    assert "was not applied" not in caplog.text


class Repeating(threading.Thread):
    """Applies the file again and again, as TensorFlow Serving does when it polls."""

    def __init__(self, server, file):
        super().__init__()
        self.server, self.file = server, file
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.01):
            with contextlib.suppress(ServingError):
                self.server.models.reload(read_models(str(self.file.path)))


def test_a_poll_of_the_file_does_not_undo_the_load(
    file,
    start,
    rollout,
    models,
    publish,
    tmp_path,
    write_warmup,
    predict_request,
    eventually,
):
    file = file()
    server = start(file)
    slow = predict_request({"seconds": 0.7}, signature="sleep")
    write_warmup(publish(models.half_plus_two, tmp_path / "m", 4), slow)
    polling = Repeating(server, file)
    polling.start()

    try:
        rollout(file, server).promote(4)
        # A poll that read the file just before it was written has the last word until
        # the next one.
        eventually(lambda: labelled(server, "stable") == [4])
    finally:
        polling.done.set()
        polling.join()


def test_no_request_is_lost(file, start, rollout, connect, predict_request):
    file = file()
    server = start(file)
    stubs = connect(server.target).predictions
    request = predict_request({"x": [0.0]})
    request.model_spec.version_label = "stable"
    answers, failures, done = [], [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                response = stubs.Predict(request, timeout=10)
            except grpc.RpcError as error:
                failures.append(error.details())
            else:
                version = response.model_spec.version.value
                answers.append((version, response.outputs["y"].float_val[0]))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        rollout(file, server).promote(2)
        rollout(file, server).rollback()
    done.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert set(answers) == {(1, 2.0), (2, 3.0)}


def test_a_version_that_is_about_to_be_unloaded_is_kept(
    file, start, rollout, monkeypatch, eventually
):
    file = file()
    server = start(file)
    rollout(file, server).promote(2)
    rollout(file, server).rollback()
    eventually(lambda: available(server) == {1})
    # As it is told until the moment before.
    monkeypatch.setattr(Rollout, "_available", lambda self: {1, 2})
    rollout(file, server).promote(2)
    assert labelled(server, "stable") == [2]


def unchanged(file, server, action, message):
    """Asserts that it fails with the message, and that all stays."""
    before = file.text(), available(server), labelled(server, "stable", "canary")
    with pytest.raises((RolloutError, ServingError), match=message):
        action()
    assert file.text() == before[0]
    assert labelled(server, "stable", "canary") == before[2]
    assert before[1] <= available(server)


def test_a_version_that_does_not_load(
    file, start, rollout, models, publish, tmp_path, eventually
):
    publish(models.half_plus_two, tmp_path / "m", 5, truncated=True)
    file = file()
    server = start(file)

    unchanged(
        file,
        server,
        lambda: rollout(file, server).promote(5),
        "the labels of model m are as before: version 5 does not load: .*damaged",
    )
    eventually(lambda: available(server) == {1})


def test_a_load_that_took_too_long_is_taken_back(file, start, rollout, eventually):
    file = file()
    server = start(file)
    with pytest.raises(RolloutError, match="after 0 s"):
        rollout(file, server, load_timeout=0).promote(2)
    with ServerControl(server.target) as control:
        eventually(lambda: control.states("m")[2].state is State.END)


def test_what_serves_without_a_label_stays_while_another_loads(
    file, start, rollout, monkeypatch
):
    file = file(policy="", labels="")
    server = start(file)
    assert available(server) == {3}
    one, sent = rollout(file, server), []
    reload = one.control.reload

    def watched(config):
        model, _ = config.model_config_list.config
        sent.append(list(model.model_version_policy.specific.versions))
        reload(config)

    monkeypatch.setattr(one.control, "reload", watched)
    one.promote(2)
    assert sent == [[2, 3], [2]]


def test_a_version_that_failed_and_was_published_anew(
    file, start, rollout, models, publish, tmp_path, monkeypatch
):
    publish(models.half_plus_two, tmp_path / "m", 5, truncated=True)
    file = file()
    server = start(file)
    again = rollout(file, server)
    with pytest.raises(RolloutError, match="version 5 does not load"):
        again.promote(5)
    publish(models.half_plus_two, tmp_path / "m", 5)
    # A server that is busy still tells of the earlier load.
    states, earlier = again.control.states, again.control.states("m")
    assert earlier[5].error is not None
    late = iter([earlier] * 3)
    monkeypatch.setattr(
        again.control, "states", lambda model: next(late, None) or states(model)
    )

    assert again.promote(5).labels == {"stable": 5, "previous": 1}


def test_a_rollback_while_another_version_loads_stays(
    file, start, rollout, monkeypatch
):
    file = file()
    server = start(file)
    rollout(file, server).promote(2)
    canary = rollout(file, server, load_timeout=0.2)
    before = canary.control.states("m")

    def states(model):
        if in_file(file)[1] == Specific(frozenset({1, 2, 3})):
            rollout(file, server).rollback()
        return before

    monkeypatch.setattr(canary.control, "states", states)
    with pytest.raises(RolloutError, match=r"changed meanwhile, .* has stable=1$"):
        canary.promote(3, "canary")

    assert labelled(server, "stable", "previous", "canary") == [1, None, None]
    assert in_file(file) == ({"stable": 1}, Specific(frozenset({1})))


@pytest.fixture
def meanwhile(monkeypatch):
    """Does something once while a rollout waits for versions 1 and 2 of m to load."""

    def watch(rollout, action):
        states, done = rollout.control.states, []

        def watched(model):
            if not done and in_file(rollout.file)[1] == Specific(frozenset({1, 2})):
                done.append(True)
                action()
            return states(model)

        monkeypatch.setattr(rollout.control, "states", watched)

    return watch


def test_another_model_is_promoted_meanwhile(file, start, rollout, meanwhile):
    file = file()
    server = start(file)
    one, another = (rollout(file, server, model=model) for model in ("m", "other"))
    meanwhile(one, lambda: another.promote(1))

    one.promote(2)

    assert labelled(server, "stable", "previous") == [2, 1]
    assert in_file(file) == ({"stable": 2, "previous": 1}, Specific(frozenset({1, 2})))
    assert in_file(file, "other") == ({"stable": 1}, Specific(frozenset({1})))


def test_a_promotion_that_fails_leaves_that_of_another_model(
    file, start, rollout, meanwhile, models, publish, tmp_path, eventually
):
    file = file()
    publish(models.half_plus_two, tmp_path / "m", 2, truncated=True)
    server = start(file)
    one, another = (rollout(file, server, model=model) for model in ("m", "other"))
    meanwhile(one, lambda: another.promote(1))

    with pytest.raises(RolloutError, match="version 2 does not load"):
        one.promote(2)

    assert in_file(file) == ({"stable": 1}, Specific(frozenset({1})))
    assert in_file(file, "other") == ({"stable": 1}, Specific(frozenset({1})))
    eventually(lambda: available(server) == {1})
    with ServerControl(server.target) as control:
        assert control.labelled("other", "stable") == 1


def test_a_label_of_what_crashed_stays_while_another_version_loads(
    file, start, rollout, meanwhile, monkeypatch
):
    file = file()
    server = start(file)
    one, before = rollout(file, server), []
    monkeypatch.setattr(one, "_available", set)
    meanwhile(one, lambda: before.extend([labelled(server, "stable"), in_file(file)]))

    one.promote(2)

    assert before == [[1], ({"stable": 1}, Specific(frozenset({1, 2})))]
    assert labelled(server, "stable") == [2]


def test_a_label_that_the_server_refuses_is_left_out_of_a_load(file, start, rollout):
    server = start(file(labels=""), allow_version_labels_for_unavailable_models=False)
    file = file(labels="stable=7")

    assert rollout(file, server).promote(2).labels == {"stable": 2}

    assert labelled(server, "stable") == [2]


def test_others_are_kept_out_while_labels_move(file, start, rollout, monkeypatch):
    file = file()
    server = start(file)
    one = rollout(file, server)
    reload, refused = one.control.reload, []

    def watched(config):
        with file.path.with_name(".models.config.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                refused.append(config)
        reload(config)

    monkeypatch.setattr(one.control, "reload", watched)
    one.promote(2)

    assert len(refused) == 2


def test_a_version_that_is_not_there(file, start, rollout, tmp_path):
    file = file()
    server = start(file)
    unchanged(
        file,
        server,
        lambda: rollout(file, server).promote(9),
        f"{tmp_path / 'm'}: expected version 9, found 1, 2, 3",
    )


def test_a_version_that_loads_for_too_long(file, start, rollout):
    file = file()
    server = start(file)
    unchanged(
        file,
        server,
        lambda: rollout(file, server, load_timeout=0).promote(2),
        "version 2 .* after 0 s",
    )


def test_a_refusal_of_the_server_is_told(file, start, rollout):
    server = start(file(labels=""), allow_version_labels_for_unavailable_models=False)
    server.models.reload(read_models(str(file().path)))
    # Somebody has written a label that the server never took.
    other = file(labels="stable=1 canary=7")
    unchanged(
        other,
        server,
        lambda: rollout(other, server).promote(2),
        "the labels of model m are as before: Request to assign label to version 7 of"
        " model m, which is not currently available for inference",
    )


def test_no_server(file, rollout):
    file = file()
    text = file.text()
    with pytest.raises(ServingError, match=r"no server answers at 127\.0\.0\.1:1: "):
        rollout(file, "127.0.0.1:1").promote(2)
    assert file.text() == text


def test_what_was_stable_may_be_gone(file, start, rollout):
    file = file(policy="specific { versions: 2 }", labels="stable=7 previous=6")
    server = start(file)

    move = rollout(file, server).promote(2)

    assert move.labels == {"stable": 2}
    assert move.notes == (
        "version 7, which was stable, doesn't serve: there is nothing to roll back to",
    )


def test_what_was_stable_may_not_serve(file, start, rollout):
    file = file(policy="specific { versions: 1 }", labels="stable=7 previous=1")
    server = start(file)

    move = rollout(file, server).promote(2)

    assert move.labels == {"stable": 2, "previous": 1}
    (note,) = move.notes
    assert note.endswith("stable, doesn't serve: there is version 1 to roll back to")
    assert rollout(file, server).rollback().labels == {"stable": 1}


def test_the_version_before_is_promoted_again(file, start, rollout):
    file = file(policy="specific { versions: 1 }", labels="stable=7 previous=1")
    server = start(file)

    assert rollout(file, server).promote(1).labels == {"stable": 1}


def test_the_label_previous_is_not_given_by_hand(file, start, rollout):
    file = file()
    with pytest.raises(RolloutError, match=r"label previous: .* choose another"):
        rollout(file, "127.0.0.1:1").promote(2, "previous")


def test_a_file_without_the_model(file, rollout, tmp_path):
    path = tmp_path / "models.config"
    path.write_text("model_config_list {}")
    with pytest.raises(RolloutError, match="expected the model m, found none; add it"):
        rollout(ModelConfigFile(path), "127.0.0.1:1").promote(2)


def test_an_illegal_file_is_not_sent(file, rollout, tmp_path):
    path = tmp_path / "models.config"
    path.write_text('model_config_list { config { name: "m" base_path: "m" } }')
    with pytest.raises(ServingError, match="model_platform"):
        rollout(ModelConfigFile(path), "127.0.0.1:1").promote(2)


def test_a_reload_that_is_answered_with_an_error(file, start):
    server = start(file())
    with (
        ServerControl(server.target) as control,
        pytest.raises(ServingError, match="Only ModelConfigList"),
    ):
        control.reload(model_server_config_pb2.ModelServerConfig())

"""Labels and reloading, by HandleReloadConfig and by a file that is polled."""

import contextlib

import grpc
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("surface")]

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
AVAILABLE, END = 30, 50
ALL = "all {}"
UNAVAILABLE = (
    "Request to assign label to version %d of model %s, which is not currently"
    " available for inference"
)


@pytest.fixture(scope="module")
def root(models, tmp_path_factory, link):
    """Model a in versions 1 (2 at x = 0) and 2 (3), model b in version 1 (2)."""
    root = tmp_path_factory.mktemp("reloaded")
    link(root / "a", {1: models.half_plus_two, 2: models.half_plus_three})
    link(root / "b", {1: models.half_plus_two})
    return root


@pytest.fixture(scope="module")
def reloaded(start_for_module, root, entry, write_config):
    config = write_config(root / "models.config", entry(root, "a", ALL))
    server = start_for_module(
        model_config_file=config, load_retry_interval_micros=100_000
    )
    server.wait_until_ready(a={1, 2})
    return server


@pytest.fixture
def there(reloaded, connect, reload, root, entry, states, eventually):
    """The stubs of `reloaded`, which serves all of model a, without labels."""
    stubs = connect(reloaded.target)
    reload(stubs, entry(root, "a", ALL))
    eventually(lambda: states(stubs, "a") == {1: AVAILABLE, 2: AVAILABLE})
    return stubs


def test_a_label_moves(there, reload, root, entry, score, error_of):
    assert error_of(score, there, "a", label="stable") == (
        INVALID,
        "Unrecognized servable version label: stable",
    )
    for stable in (1, 2):
        reload(there, entry(root, "a", ALL, stable=stable, canary=2))
        assert score(there, "a", label="stable") == 1 + stable
        assert score(there, "a", label="canary") == 3


def test_a_label_of_a_version_that_is_not_available(
    there, reload, root, entry, score, error_of
):
    reload(there, entry(root, "a", ALL, stable=1))

    assert error_of(reload, there, entry(root, "a", ALL, stable=7)) == (
        PRECONDITION,
        UNAVAILABLE % (7, "a"),
    )
    assert score(there, "a", label="stable") == 2


def test_labels_are_assigned_before_versions_load(
    there, reload, root, entry, states, score, error_of, eventually
):
    one = "specific { versions: 1 }"
    both = "specific { versions: 1 versions: 2 }"
    reload(there, entry(root, "a", one))
    eventually(lambda: states(there, "a")[2] != AVAILABLE)

    # It would be loaded by the same request.
    assert error_of(reload, there, entry(root, "a", both, canary=2)) == (
        PRECONDITION,
        UNAVAILABLE % (2, "a"),
    )
    reload(there, entry(root, "a", both))
    eventually(lambda: states(there, "a")[2] == AVAILABLE)
    reload(there, entry(root, "a", both, canary=2))
    assert score(there, "a", label="canary") == 3


def test_a_reload_replaces_the_whole_configuration(
    there, reload, root, entry, score, error_of, predict_request, eventually
):
    reload(there, entry(root, "b"))

    assert score(there, "b") == 2

    request = predict_request({"x": [0.0]}, model="a")
    ask = there.predictions.Predict.future
    eventually(lambda: ask(request, timeout=10).code() is NOT_FOUND)
    assert error_of(score, there, "a") == (
        NOT_FOUND,
        "Servable not found for request: Latest(a)",
    )


def test_an_illegal_reload_is_refused(there, reload, root, entry, score, error_of):
    code, _ = error_of(reload, there, entry(root, "a"), entry(root, "a"))

    assert code is INVALID
    assert score(there, "a", 1) == 2
    assert score(there, "a", 2) == 3


def test_a_model_that_does_not_load_is_told(
    there, reload, root, entry, counted, push, states, score, error_of, eventually
):
    (root / "c").mkdir()
    push(counted.path, root / "c", 1, counted.warmup)

    code, message = error_of(reload, there, entry(root, "b"), entry(root, "c"))

    assert code is grpc.StatusCode.UNKNOWN
    assert message.startswith("Some models did not become available: {")
    eventually(lambda: states(there, "c") == {1: END})
    # By default, a load is tried five times again.
    assert counted.loads() == 6
    assert score(there, "b") == 2


@pytest.fixture
def relabelled(stubs, entries, reload):
    """The stubs of `server`, which allows labels of unavailable versions."""
    yield stubs
    reload(stubs, *entries.values())


def test_only_a_new_label_may_wait_for_its_version(
    relabelled, entries, reload, score, error_of
):
    later = entries | {
        "m": entries["m"].removesuffix("}")
        + 'version_labels { key: "later" value: 9 } }'
    }
    moved = entries | {"m": entries["m"].replace("value: 1 ", "value: 9 ")}

    reload(relabelled, *later.values())
    assert error_of(score, relabelled, "m", label="later") == (
        NOT_FOUND,
        "Servable not found for request: Specific(m, 9)",
    )
    assert error_of(reload, relabelled, *moved.values()) == (
        PRECONDITION,
        UNAVAILABLE % (9, "m"),
    )
    assert score(relabelled, "m", label="stable") == 2


def test_a_polled_file(
    polled, connect, models, entry, link, write_config, score, eventually
):
    server, config, entries = polled.server, polled.config, polled.entries
    stubs = connect(server.target)
    link(polled.root / "added", {1: models.half_plus_three})
    added = entry(polled.root, "added")

    def serves_added():
        with contextlib.suppress(grpc.RpcError):
            return score(stubs, "added") == 3
        return False

    config.write_text("model_config_list { nonsense")
    eventually(lambda: f"Invalid protobuf file: '{config}'" in server.output())
    assert score(stubs, "steady") == 2

    write_config(config, *entries, added, added)
    eventually(lambda: "Illegal to list model added multiple times" in server.output())
    assert score(stubs, "steady") == 2
    assert not serves_added()

    write_config(config, *entries, added)
    eventually(serves_added)
    assert score(stubs, "steady") == 2

    write_config(config, *entries)
    eventually(lambda: not serves_added())
    assert score(stubs, "steady") == 2

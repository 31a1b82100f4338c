"""Answers of what a run pushed: as measured offline, and without a gap."""

import shutil
import time

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("shop")]


def test_served_scores_are_the_offline_ones(compared):
    assert compared.rows == 1000
    assert compared.scenarios == 4
    assert compared.difference <= 1e-5
    assert 0 < compared.unknown < 1


def test_a_push_is_picked_up_without_a_request_lost(
    replaced, client, rows, serving_versions
):
    run, scores = replaced
    assert serving_versions() == {max(run.after)}
    # Each request was answered, by the old version first and by the new one at last.
    assert len(scores) > 100
    assert len(set(scores)) == 2
    change = scores.index(scores[-1])
    assert 0 < change < len(scores)
    assert set(scores[:change]) == {scores[0]}
    assert set(scores[change:]) == {scores[-1]}
    assert client.predict(rows[:1])[0] == pytest.approx(scores[-1], abs=1e-7)


def test_a_truncated_version_leaves_the_last_good_one(
    shop, replaced, client, rows, serving_versions
):
    good = max(replaced[0].after)
    scores = client.predict(rows[:10])
    bad = shop.paths.serving / str(good + 1)
    # As a copy that was cut off: saved_model.pb comes last.
    shutil.copytree(
        shop.paths.serving / str(good),
        bad,
        ignore=shutil.ignore_patterns("saved_model.pb"),
    )
    content = (shop.paths.serving / str(good) / "saved_model.pb").read_bytes()
    (bad / "saved_model.pb").write_bytes(content[: len(content) // 2])
    try:
        deadline = time.monotonic() + 30
        while not (errors := _errors(client, int(bad.name))):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "Can't parse" in str(errors[0])
        assert serving_versions() == {good}
        assert client.predict(rows[:10]) == pytest.approx(scores, abs=0)
    finally:
        shutil.rmtree(bad)


def _errors(client, version):
    return [s.error for s in client.status() if s.version == version and s.error]

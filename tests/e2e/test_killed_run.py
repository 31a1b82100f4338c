"""A run that is killed in training, one that can't push, and what follows them."""

import os
import shutil
import signal

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("shop")]


def test_a_run_goes_on_where_the_last_one_stopped(make_shop, rows, first):
    shop = make_shop()
    shop.write(rows)
    process = shop.start_command()
    training = False
    for line in process.stdout:
        training = training or line.strip() == "CandidateTrainer"
        if training and "epoch 1 of" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert training

    killed = shop.record(known=0, before=set())
    assert killed.after == set()
    assert killed.states["CandidateTrainer"] == "RUNNING"
    done = killed.in_state("COMPLETE") - {"ProductionModel"}
    assert "BaselineTrainer" in done
    assert len(killed.states) == len(done) + 2

    # A file where the folder of versions should be: as a disk that isn't mounted.
    shop.paths.serving.touch()
    resumed = shop.run()
    assert resumed.in_state("CACHED") == done
    assert resumed.in_state("FAILED") == {"NewModelPusher"}
    assert f"{shop.paths.serving}" in str(resumed.error)

    shop.paths.serving.unlink()
    pushing = shop.run()
    assert pushing.in_state("COMPLETE") == {"ProductionModel", "NewModelPusher"}
    assert pushing.outcome.pushed
    assert len(pushing.after) == 1
    # The same rows and seeds give the same models, in whatever folder and process.
    assert pushing.outcome.report.slices == first.outcome.report.slices

    shutil.rmtree(shop.paths.serving)
    again = shop.run()
    assert again.in_state("COMPLETE") == {"ProductionModel", "NewModelPusher"}
    assert again.outcome.pushed
    assert len(again.after) == 1

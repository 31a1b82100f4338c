"""How far apart scenarios' matrices are, by hand and against a known distribution."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pipeline.benchmark.contenders import contender
from pipeline.benchmark.diagnostics import Diagnostics, diagnose, scenario_accuracy


def test_equal_matrices_are_told_apart_as_by_a_guess():
    matrices = [np.ones((4, 9, 8)), np.ones((4, 9, 1))]
    assert scenario_accuracy(matrices) == pytest.approx(1 / 4, abs=0.05)


def test_far_matrices_are_told_apart_and_close_ones_in_part():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((4, 65, 64))
    found = [
        scenario_accuracy([1 + scale * directions]) for scale in (0.001, 0.02, 3.0)
    ]
    assert found[0] == pytest.approx(1 / 4, abs=0.08)
    assert found[0] + 0.2 < found[1] < 0.999
    assert found[2] == 1


def test_two_scenarios_against_the_normal_distribution():
    # The closest of two points at a distance d is right with Phi(d / 2 sigma). With
    # one entry in M, a sketch is M - 1 times 64 standard normals.
    normals = np.random.default_rng(20231021).standard_normal(64)
    distance = 0.05 * np.linalg.norm(normals)
    draws = np.random.default_rng(1).standard_normal(200_000)
    expected = (draws < distance / 0.2).mean()
    assert 0.6 < expected < 0.99
    matrices = [np.array([[[1.0]], [[1.05]]])]
    assert scenario_accuracy(matrices) == pytest.approx(expected, abs=0.04)


def test_memory_is_that_of_the_distances_of_one_copy():
    matrices = [np.ones((100, 4, 4), np.float32)]
    tracemalloc.start()
    scenario_accuracy(matrices)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 100 x 100 float64 are 0.08 MB, and those of 500 copies 40 MB.
    assert most < 4e6


def test_diagnosis_of_a_model_at_its_start(spec):
    vocabularies = {
        "channel": ["web", "app"],
        "device": ["phone", "desk"],
        "item": ["a"],
        "tags": ["x"],
    }
    kept = {"matrix_diversity": 0.25, "mutual_information": 1.5, "loss": 0.7}
    seen = {"web/phone", "app/desk", "app/phone", "fax/phone"}
    model = spec.build_model(contender(spec, "midpg").model, vocabularies)
    found = diagnose(model, kept, seen)
    assert found.mutual_information == 1.5
    assert found.matrix_diversity == 0.25
    assert found.scenarios == 3
    # Every matrix is neutral, so that scenarios can't be told apart.
    assert found.scenario_accuracy == pytest.approx(1 / 3, abs=0.06)
    broken = diagnose(model, dict.fromkeys(kept, float("nan")), seen)
    assert broken.mutual_information is None
    assert broken.matrix_diversity is None
    assert Diagnostics.model_validate_json(broken.model_dump_json()) == broken
    mlp = spec.build_model(contender(spec, "mlp").model, vocabularies)
    assert diagnose(mlp, {}, seen) is None

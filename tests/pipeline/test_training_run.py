"""What a training run leaves behind is found again, or missed by name."""

import numpy as np
import pytest

from midpg_tf import MLP, CategoricalInput
from pipeline.training_run import VOCABULARIES, check_run, load_run, save_run

VALUES = {"channel": ["web", "größe"]}


@pytest.fixture
def model():
    return MLP([CategoricalInput("channel", 3, embedding=2)], ["channel"], hidden=(4,))


def test_model_and_vocabularies_come_back(tmp_path, model):
    save_run(tmp_path / "run", model, VALUES)
    check_run(tmp_path / "run")
    found, vocabularies = load_run(tmp_path / "run")
    assert vocabularies == VALUES
    for weight, expected in zip(found.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_file_that_is_missing_is_named(tmp_path, model):
    save_run(tmp_path, model, VALUES)
    (tmp_path / VOCABULARIES).unlink()
    with pytest.raises(ValueError, match=f"found no vocabularies.json in {tmp_path}"):
        check_run(tmp_path)

"""Which model counts as the one in production."""

from __future__ import annotations

import pytest

from pipeline.components.production import LatestPushedModelStrategy


@pytest.fixture
def resolve(artifact, tmp_path):
    """Resolves among models 1, 2 and 3, given (model, pushed) of each push.

    Those of a model in `gone` have no folder any more.
    """
    models = [artifact("Model") for _ in range(3)]

    def run(*pushes, gone=()):
        artifacts = []
        for model, pushed in pushes:
            found = artifact("PushedModel")
            found.set_int_custom_property("pushed", pushed)
            found.set_int_custom_property("model_id", models[model - 1].id)
            folder = tmp_path / str(model)
            if model not in gone:
                folder.mkdir(exist_ok=True)
            found.set_string_custom_property("pushed_destination", str(folder))
            artifacts.insert(0, found)
        result = LatestPushedModelStrategy().resolve_artifacts(
            None, {"model": list(models), "pushed": artifacts}
        )
        return [models.index(model) + 1 for model in result["model"]]

    return run


@pytest.mark.parametrize(
    ("pushes", "expected"),
    [
        ([], []),
        ([(1, 0)], []),
        ([(1, 1)], [1]),
        ([(1, 1), (2, 1)], [2]),
        ([(2, 1), (1, 1)], [1]),
        # Refused, or already in production.
        ([(1, 1), (2, 0), (1, 0)], [1]),
    ],
)
def test_it_is_the_one_that_was_pushed_last(resolve, pushes, expected):
    assert resolve(*pushes) == expected


def test_a_version_that_was_taken_away_is_in_production_no_more(resolve, caplog):
    assert resolve((1, 1), (2, 1), gone=[2]) == [1]
    assert "2 is gone, and so is in production no more" in caplog.text
    assert resolve((3, 1), gone=[3]) == []

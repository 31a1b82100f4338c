"""Which model counts as the one in production."""

from __future__ import annotations

import logging

import pytest

from pipeline.components.production import PushedModelStrategy, readable_stable

MODELS = """
model_config_list {
  config {
    name: "other"
    base_path: "/other"
    model_platform: "tensorflow"
    version_labels { key: "stable" value: 2 }
  }
  config {
    name: "shop"
    base_path: "/shop"
    model_platform: "tensorflow"
    version_labels { key: "canary" value: 2 }
    version_labels { key: "stable" value: %d }
  }
}
"""


@pytest.fixture
def models_file(tmp_path):
    """The server's model configuration file, which isn't there."""
    return tmp_path / "models.config"


@pytest.fixture
def resolve(artifact, tmp_path, models_file):
    """Resolves among models 1, 2 and 3, given (model, pushed) of each push.

    A model's version has its number, and was pushed to a folder that has been moved
    since. Those of a model in `gone` have no folder any more, those of one in `half`
    one that isn't whole. Versions in `elsewhere` were copied to where these are.
    """
    models = [artifact("Model") for _ in range(3)]
    serving = tmp_path / "serving"

    def run(*pushes, gone=(), half=(), elsewhere=()):
        for version in elsewhere:
            (serving / str(version)).mkdir(parents=True)
            (serving / str(version) / "saved_model.pb").touch()
        artifacts = []
        for model, pushed in pushes:
            found = artifact("PushedModel")
            found.set_int_custom_property("pushed", pushed)
            found.set_int_custom_property("model_id", models[model - 1].id)
            if model not in gone:
                (serving / str(model) / "variables").mkdir(parents=True, exist_ok=True)
                if model not in half:
                    (serving / str(model) / "saved_model.pb").touch()
            found.set_string_custom_property("pushed_version", str(model))
            found.set_string_custom_property("pushed_destination", f"/before/{model}")
            artifacts.insert(0, found)
        strategy = PushedModelStrategy(str(serving), str(models_file), "shop")
        result = strategy.resolve_artifacts(
            None, {"model": list(models), "pushed": artifacts}
        )
        found = [models.index(model) + 1 for model in result["model"]]
        assert found == [
            int(pushed.get_string_custom_property("pushed_version"))
            for pushed in result["pushed"]
        ]
        return found

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


@pytest.mark.parametrize("state", ["gone", "half"])
def test_a_version_that_was_taken_away_is_in_production_no_more(resolve, caplog, state):
    assert resolve((1, 1), (2, 1), **{state: [2]}) == [1]
    told = "2 is gone, or has no saved_model.pb, and so is in production no more"
    assert told in caplog.text
    assert resolve((3, 1), **{state: [3]}) == []


def test_half_of_the_stable_version_is_in_production_no_more(resolve, models_file):
    models_file.write_text(MODELS % 1)
    assert resolve((1, 1), (2, 1), half=[1]) == [2]


def test_old_versions_that_were_cleaned_up_are_no_news(resolve, caplog):
    assert resolve((1, 1), (2, 1), (3, 1), gone=[1, 2]) == [3]
    assert caplog.text == ""


def test_after_a_rollback_the_stable_version_is_in_production(
    resolve, models_file, caplog
):
    models_file.write_text(MODELS % 1)
    with caplog.at_level(logging.INFO, "midpg.production"):
        assert resolve((1, 1), (2, 1), (3, 1)) == [1]
    assert caplog.messages == [f"production: version 1, stable in {models_file}"]


@pytest.mark.parametrize(
    "text",
    [MODELS % 9, 'config { nome: "shop" }', "", None],
    ids=["not there", "broken", "none", "no file"],
)
def test_without_a_stable_version_that_is_there_it_is_the_last(
    resolve, models_file, caplog, text
):
    if text is not None:
        models_file.write_text(text)
    with caplog.at_level(logging.INFO, "midpg.production"):
        assert resolve((1, 1), (3, 1)) == [3]
    found = "9, which isn't there" if text == MODELS % 9 else "none"
    assert caplog.messages[-1] == (
        "production: version 3, which was pushed last; stable of model shop in"
        f" {models_file}: {found}"
    )


def test_a_stable_version_of_elsewhere_is_none_that_can_be_compared(
    resolve, models_file
):
    models_file.write_text(MODELS % 9)
    assert resolve((1, 1), (3, 1), elsewhere=[9]) == []
    models_file.write_text(MODELS % 3)
    assert resolve((1, 1), (3, 1)) == [3]


def test_what_is_stable_in_a_file_that_cannot_be_read_is_not_known(models_file):
    assert readable_stable(str(models_file), "shop") is None
    models_file.write_text('config { nome: "shop" }')
    assert readable_stable(str(models_file), "shop") is None
    models_file.write_text(MODELS % 9)
    assert readable_stable(str(models_file), "shop") == 9

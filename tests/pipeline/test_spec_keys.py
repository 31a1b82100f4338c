"""The reference of a data-set file, held against files and the code that reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from midpg_tf.models.registry import MODELS, hyperparameters
from pipeline.spec_keys import spec_keys

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = {path.name: path.read_text() for path in (ROOT / "examples").glob("*.yaml")}
FILES["README.md"] = re.search(r"```yaml\n(# shop.yaml\n.*?)```", README, re.S)[1]


def keys(path=""):
    return {key.path for part in spec_keys(path) for key in part.keys}


def used(content, path=""):
    """The keys that a file has, as the reference calls them."""
    for key, value in content.items():
        inner = f"{path}.{key}" if path else key
        if path == "features":
            inner = "features.NAME"
        elif key not in ("by", "kind"):
            yield inner
        if isinstance(value, dict):
            yield from used(value, inner)


@pytest.mark.parametrize("name", FILES)
def test_tells_the_keys_of_real_files(name):
    content = yaml.safe_load(FILES[name])
    models = [content.pop(role, {}) for role in ("model", "baseline")]
    assert set(used(content)) <= keys()
    for model in models:
        of_model = keys(f"model.{model.get('name', 'midpg')}")
        named = {key.rpartition(".")[2] for key in of_model}
        assert set(model) <= named


def test_tells_forms_and_what_must_be_there():
    split = spec_keys("data.split")
    assert [part.form for part in split] == [
        "by: time",
        "by: hash",
        "by: column",
        "by: files",
    ]
    by_time, by_hash, *_ = split
    assert {key.path: key.required for key in by_time.keys} == {
        "data.split.column": True,
        "data.split.eval": False,
        "data.split.test": False,
    }
    assert by_hash.keys[-1].meaning == (
        "Another one draws another split: it salts the hash. Default 0."
    )


@pytest.mark.parametrize("model", MODELS)
def test_tells_all_that_a_model_takes(model):
    own, shared = spec_keys(f"model.{model}")
    told = [key.path.rpartition(".")[2] for key in (*own.keys, *shared.keys)]
    assert sorted(told) == sorted(["name", *hyperparameters(model)])
    assert all(key.meaning for key in own.keys)


def test_one_key_alone():
    [part] = spec_keys("gates.per_scenario.max_loss")
    assert [key.path for key in part.keys] == ["gates.per_scenario.max_loss"]


def test_an_unknown_key_is_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"found 'gates.auc.mn'; did you mean") as told:
        spec_keys("gates.auc.mn")
    assert str(told.value).endswith("'gates.auc.min'?")

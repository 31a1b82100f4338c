"""Models in a comparison: the same settings for all, and the same budget if asked."""

from __future__ import annotations

import pytest
import tensorflow as tf

from midpg_tf.models import MLP
from midpg_tf.spec import DatasetSpec
from midpg_tf.spec.model import ModelSpec
from pipeline.benchmark.contenders import (
    Contender,
    contender,
    dense_parameters,
    hidden_parameters,
    resolved,
    with_budget,
)
from pipeline.trainer import count_parameters

VOCABULARIES = {
    "channel": ["web", "app"],
    "device": ["phone", "desk"],
    "item": list("abcdefgh"),
    "tags": ["x", "y", "z"],
}


@pytest.fixture
def settings(content):
    def make(**models):
        return DatasetSpec.model_validate(content | models)

    return make


def test_models_get_the_files_settings(settings):
    spec = settings(
        model={"name": "midpg", "hidden": [8, 4], "rank": 2, "dropout": 0.3}
    )
    mlp = resolved(spec, contender(spec, "mlp").model)
    midpg = resolved(spec, contender(spec, "midpg").model)
    assert mlp["hidden"] == midpg["hidden"] == [8, 4]
    assert mlp["dropout"] == midpg["dropout"] == 0.3
    assert midpg["rank"] == 2
    assert "rank" not in mlp
    assert mlp["l2"] == midpg["l2"] == 1e-5  # a default


def test_the_files_baseline_keeps_its_own_settings(settings):
    spec = settings(baseline={"name": "mlp", "dropout": 0.5})
    assert resolved(spec, contender(spec, "mlp").model)["dropout"] == 0.5
    assert resolved(spec, contender(spec, "midpg").model)["dropout"] == 0.2


def test_settings_are_those_of_the_built_model(settings):
    spec = settings(model={"name": "midpg", "hidden": [8], "mi_weight": 0.1})
    for name in ("mlp", "midpg"):
        model = contender(spec, name).model
        config = spec.build_model(model, VOCABULARIES).get_config()
        for key, value in resolved(spec, model).items():
            if key != "name":
                assert config[key] == (
                    list(value) if isinstance(value, tuple) else value
                )


def test_unknown_model(spec):
    with pytest.raises(ValueError, match=r"expected models out of .*, found 'mpl'"):
        contender(spec, "mpl")


def test_parameters_by_hand(spec):
    # channel 3, device 3, item 9, tags 4 ids, of width 4, and the price: 17 inputs.
    mlp = spec.build_model(ModelSpec(name="mlp", hidden=[5, 3]), VOCABULARIES)
    assert isinstance(mlp, MLP)
    hidden = 18 * 5 + 6 * 3
    assert hidden_parameters(mlp) == hidden
    assert dense_parameters(mlp) == hidden + 4
    assert count_parameters(mlp) == hidden + 4 + (3 + 3 + 9 + 4) * 4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "factor"), [("mlp", 0.3), ("midpg", 1), ("midpg", 3)])
def test_widths_scale_to_the_budget(spec, name, factor):
    one = Contender("one", ModelSpec(name=name, hidden=[40, 20], dropout=0.4))
    full = dense_parameters(spec.build_model(one.model, VOCABULARIES))
    target = int(full * factor)
    scaled = with_budget(spec, one, target, VOCABULARIES)
    assert scaled.name == "one"
    found = spec.build_model(scaled.model, VOCABULARIES)
    assert dense_parameters(found) == pytest.approx(target, rel=0.05)
    wide, narrow = found.hidden
    assert wide == pytest.approx(2 * narrow, abs=2)
    assert found.dropout == 0.4


def test_no_weight_is_drawn_to_count_them(spec, monkeypatch):
    build, eager = type(spec).build_model, []

    def noted(*arguments):
        eager.append(tf.executing_eagerly())
        return build(*arguments)

    monkeypatch.setattr(type(spec), "build_model", noted)
    with_budget(spec, contender(spec, "ple"), 1_000, VOCABULARIES)
    assert set(eager) == {False}


def test_no_budget_without_layers_to_scale(spec):
    one = Contender("midpg", ModelSpec(name="midpg", hidden=[]))
    with pytest.raises(ValueError, match="midpg: expected hidden layers"):
        with_budget(spec, one, 100, VOCABULARIES)


def test_no_budget_below_that_of_one_unit(spec):
    one = Contender("midpg", ModelSpec(name="midpg", hidden=[4, 4]))
    least = dense_parameters(
        spec.build_model(ModelSpec(name="midpg", hidden=[1, 1]), VOCABULARIES)
    )
    # Within a tenth is the same, and there is no number below the least one.
    found = with_budget(spec, one, round(least / 1.09), VOCABULARIES)
    assert found.model.settings["hidden"] == (1, 1)
    target = int(least / 1.11)
    with pytest.raises(ValueError, match="midpg: expected some") as error:
        with_budget(spec, one, target, VOCABULARIES)
    assert str(error.value) == (
        f"midpg: expected some {target:,} parameters behind the embeddings, found"
        f" {least:,} with hidden layers of [1, 1], the closest; compare models by"
        " --budget widths, or give the baseline wider layers"
    )

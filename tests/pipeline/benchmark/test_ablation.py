"""The ablation: one setting at a time."""

from __future__ import annotations

from midpg_tf.spec import DatasetSpec
from pipeline.benchmark.ablation import VARIANTS, variants
from pipeline.benchmark.contenders import resolved


def test_a_variant_differs_in_one_setting(content):
    content["model"] = {"name": "midpg", "hidden": [8], "rank": 3, "dropout": 0.4}
    spec = DatasetSpec.model_validate(content)
    base, *others = variants(spec)
    assert base.name == "midpg"
    expected = resolved(spec, base.model)
    assert expected["rank"] == 3
    names = [one.name for one in others]
    # The file's own value is the base, where it is among them.
    same = sum(expected[setting] in values for setting, values in VARIANTS.items())
    assert same == len(VARIANTS) - 1
    assert len(set(names)) == len(names) == sum(map(len, VARIANTS.values())) - same
    assert {"midpg mi_weight=0", "midpg mi_weight=0.001", "midpg rank=32"} < set(names)
    for one in others:
        setting, _, text = one.name.removeprefix("midpg ").partition("=")
        found = resolved(spec, one.model)
        assert str(found[setting]).removesuffix(".0") == text
        assert {k: v for k, v in found.items() if k != setting} == {
            k: v for k, v in expected.items() if k != setting
        }


def test_a_file_about_another_model_gives_its_shared_settings(content):
    content["model"] = {"name": "mlp", "hidden": [7]}
    spec = DatasetSpec.model_validate(content)
    for one in variants(spec):
        assert list(resolved(spec, one.model)["hidden"]) == [7]

"""What the README shows works."""

import re
from pathlib import Path

import pytest
import yaml

from midpg_tf.spec import DatasetSpec, ExampleEncoder

README = Path(__file__).parents[1] / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.fixture
def spec(tmp_path):
    (text,) = blocks("yaml")
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    return DatasetSpec.load(path)


@pytest.mark.slow
def test_the_notebook_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[0], str(README), "exec"), {})  # noqa: S102
    assert "mutual_information" in capsys.readouterr().out
    assert (tmp_path / "model.keras").exists()


def test_the_client_example_has_the_features_of_the_yaml_example(spec):
    row = re.search(
        r"predict\(\s*\[\s*(\{.*?\})\s*\]\s*\)", blocks("python")[1], re.DOTALL
    )
    example = ExampleEncoder(spec).encode(yaml.safe_load(row.group(1)))
    assert set(example.features.feature) == set(spec.features)


def test_the_gates_defaults_are_the_codes(spec):
    text = README.read_text()
    gates = spec.gates
    scenario = gates.per_scenario
    assert f"`gates.auc.min` ({gates.auc.min:g})" in text
    assert f"`gates.per_scenario.min_auc` ({scenario.min_auc:g})" in text
    assert f"`gates.auc.min_gain` ({gates.auc.min_gain:g})" in text
    assert f"`gates.per_scenario.max_loss` ({scenario.max_loss:g})" in text
    most = gates.log_loss.max_increase
    assert f"`gates.log_loss.max_increase` ({most:g}, relative)" in text
    assert f"`gates.calibration.max_error` ({gates.calibration.max_error:g})" in text
    assert f"`min_rows` ({scenario.min_rows})" in text
    assert f"`min_conversions` ({scenario.min_conversions})" in text
    assert f"`min_clusters` ({scenario.min_clusters})" in text

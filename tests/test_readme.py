"""What the README shows works."""

import json
import re
from pathlib import Path

import pytest
import yaml
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from midpg_tf.models import MODELS
from midpg_tf.models.registry import shared_hyperparameters
from midpg_tf.names import safe_name
from midpg_tf.spec import DatasetSpec, ExampleEncoder, Training
from serving.config_files import read_config
from serving.model_config import LogConfig, parse_models
from serving.signatures import RAW_SIGNATURE

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = sorted((README.parent / "examples").glob("*.yaml"))


def blocks(language):
    # A fence that ends a block has a line before it.
    return re.findall(rf"\n\n```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def names(before, after):
    """The names in code between two pieces of text."""
    # However its lines are broken.
    _, _, text = " ".join(README.read_text().split()).partition(before)
    return re.findall(r"`(\w+)`", text.partition(after)[0])


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


def test_the_request_over_rest_has_the_features_of_the_yaml_example(spec):
    text = re.search(r"-d '(\{\"signature_name\".*?\})'", README.read_text(), re.DOTALL)
    request = json.loads(text.group(1))
    assert request["signature_name"] == RAW_SIGNATURE
    (row,) = request["instances"]
    assert set(row) == {safe_name(name) for name in spec.features}
    ExampleEncoder(spec).encode(row)


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


def test_the_models_are_the_registrys():
    found = names("`model: {name: ...}` takes ", "goes through the gates")
    assert sorted(found) == sorted(MODELS)


def test_the_recipes_keys_are_the_codes():
    assert set(names("under `model`,", "under `training`")) == {
        *shared_hyperparameters()
    }
    keys = names("under `training`,", ". Set")
    assert set(keys) < set(Training.model_fields)
    assert keys[-1] == "unregularized_epochs"


def test_the_configurations_are_the_servers(tmp_path):
    models, log = blocks("")
    file = tmp_path / "models.config"
    file.write_text(models.replace("  }\n}\n", log + "  }\n}\n"))
    (model,) = parse_models(read_config(str(file), ModelServerConfig())).values()
    assert (model.name, model.base_path) == ("shop", "/path/to/.midpg/shop/serving")
    assert model.log == LogConfig("/var/log/shop/requests", pytest.approx(0.01))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_models_can_be_built(file):
    spec = DatasetSpec.load(file)
    for model in (spec.model, spec.baseline):
        spec.check_model(model)

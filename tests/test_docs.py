"""What the README and the pages in `docs` show works."""

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

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def blocks(page, language):
    # A fence that ends a block has a line before it.
    return re.findall(rf"\n\n```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def names(page, before, after):
    """The names in code between two pieces of text."""
    # However its lines are broken.
    _, found, text = " ".join(page.read_text().split()).partition(before)
    assert found, before
    return re.findall(r"`(\w+)`", text.partition(after)[0])


def anchors(page):
    """What a link may name behind `#`, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one).lower().replace(" ", "-") for one in headings}


@pytest.fixture
def spec(tmp_path):
    (text,) = blocks(README, "yaml")
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    return DatasetSpec.load(path)


@pytest.mark.slow
def test_the_notebook_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks(README, "python")[0], str(README), "exec"), {})  # noqa: S102
    assert "mutual_information" in capsys.readouterr().out
    assert (tmp_path / "model.keras").exists()


def test_the_client_example_has_the_features_of_the_yaml_example(spec):
    row = re.search(
        r"predict\(\s*\[\s*(\{.*?\})\s*\]\s*\)",
        blocks(DOCS / "serving.md", "python")[0],
        re.DOTALL,
    )
    example = ExampleEncoder(spec).encode(yaml.safe_load(row.group(1)))
    assert set(example.features.feature) == set(spec.features)


def test_the_request_over_rest_has_the_features_of_the_yaml_example(spec):
    page = (DOCS / "serving.md").read_text()
    text = re.search(r"-d '(\{\"signature_name\".*?\})'", page, re.DOTALL)
    request = json.loads(text.group(1))
    assert request["signature_name"] == RAW_SIGNATURE
    (row,) = request["instances"]
    assert set(row) == {safe_name(name) for name in spec.features}
    ExampleEncoder(spec).encode(row)


def test_the_gates_defaults_are_the_codes(spec):
    text = (DOCS / "gates.md").read_text()
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
    found = names(
        DOCS / "dataset.md", "`model: {name: ...}` takes ", "goes through the gates"
    )
    assert sorted(found) == sorted(MODELS)


def test_the_recipes_keys_are_the_codes():
    page = DOCS / "dataset.md"
    assert set(names(page, "under `model`,", "(train on")) == {
        *shared_hyperparameters()
    }
    keys = names(page, "under `training`,", ". Set")
    assert set(keys) < set(Training.model_fields)
    assert keys[-1] == "unregularized_epochs"


def test_the_configurations_are_the_servers(tmp_path):
    models, log = blocks(DOCS / "rollout.md", "")
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve()
        assert found.is_file(), target
        assert not anchor or anchor in anchors(found), target


def test_the_readme_links_every_page():
    text = README.read_text()
    assert [page.name for page in PAGES[1:] if page.name not in text] == []

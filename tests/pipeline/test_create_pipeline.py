"""The pipeline's structure, and what a change of the description runs anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
from tfx.dsl.components.common.resolver import RESOLVER_CONFIG

from midpg_tf.spec import DatasetSpec
from pipeline.create_pipeline import create_pipeline, eval_config
from pipeline.training_run import KERAS_MODEL, VOCABULARIES

TRAINERS = {"BaselineTrainer", "CandidateTrainer"}
JUDGES = {"DataGate", "ScenarioGate", "ProcessInfraValidator"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the pipelines' runs would keep their files."""
    return tmp_path_factory.mktemp("runs")


def create(spec, folder):
    return create_pipeline(
        spec,
        pipeline_root=str(folder / "artifacts"),
        serving_dir=str(folder / "serving"),
        schema_dir=str(folder / "schema"),
        models_file=str(folder / "models.config"),
        rolled_back=str(folder / "rolled_back"),
    )


@pytest.fixture
def build(folder, content):
    def build(**changes):
        for path, value in changes.items():
            *sections, key = path.split("__")
            section = content
            for name in sections:
                section = section.setdefault(name, {})
            section[key] = value
        return create(DatasetSpec.model_validate(content), folder)

    return build


@pytest.fixture(scope="module")
def unchanged(spec, folder):
    """The pipeline of the description as it is."""
    return create(spec, folder)


@pytest.fixture
def changed(unchanged, build):
    """The components whose own settings change with the description."""

    def changed(**changes):
        return differing(settings(unchanged), settings(build(**changes)))

    return changed


def settings(pipeline):
    """All that the cache knows of a component, but its inputs.

    Two components aren't there: what they find on the disk is in no cache.
    """
    return {
        component.id: {name: str(v) for name, v in component.exec_properties.items()}
        for component in pipeline.components
        if component.id not in {"ProductionModel", "NewModelPusher"}
    }


def differing(before, after):
    """The components whose settings aren't the same."""
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def recipe_digest(pipeline):
    """What the pusher knows of how the candidate is made."""
    config = component(pipeline, "NewModelPusher").exec_properties["custom_config"]
    return json.loads(config)["recipe_digest"]


def component(pipeline, name):
    (found,) = [one for one in pipeline.components if one.id == name]
    return found


def upstream(node):
    """Names of all components that end before this one starts."""
    found = set()
    for one in node.upstream_nodes:
        found |= {one.id} | upstream(one)
    return found


def test_it_has_no_side_effects(unchanged, build, folder):
    assert settings(build()) == settings(unchanged)
    assert list(folder.iterdir()) == []


def test_arguments_reach_the_pipeline(spec, tmp_path):
    pipeline = create_pipeline(
        spec,
        "root",
        "serving",
        "schema",
        "models.config",
        "rolled_back",
        None,
        False,
        ["--runner=DirectRunner"],
    )
    assert pipeline.pipeline_info.pipeline_name == "shop"
    assert pipeline.pipeline_info.pipeline_root == "root"
    assert not pipeline.enable_cache
    assert pipeline.beam_pipeline_args == ["--runner=DirectRunner"]
    pusher = component(pipeline, "NewModelPusher").exec_properties
    assert '"serving"' in pusher["push_destination"]
    gate = settings(pipeline)["ScenarioGate"]
    assert gate["serving"] == "serving"
    assert (gate["models_file"], gate["model_name"]) == ("models.config", "shop")
    production = component(pipeline, "ProductionModel").exec_properties
    assert production[RESOLVER_CONFIG] == {
        "serving_dir": "serving",
        "models_file": "models.config",
        "model_name": "shop",
    }


def test_numbers_are_counted_in_buckets_that_are_fine_enough_for_drift(unchanged):
    options = settings(unchanged)["StatisticsGen"]["stats_options_json"]
    found = tfdv.StatsOptions.from_json(options)
    assert found.num_quantiles_histogram_buckets == 100


def test_nothing_is_trained_before_the_data_is_checked(unchanged):
    assert upstream(component(unchanged, "Transform")) >= {
        "DataGate",
        "DatasetExampleGen",
    }
    for name in TRAINERS:
        assert "DataGate" in upstream(component(unchanged, name))


def test_nothing_is_pushed_before_all_gates_have_passed(unchanged):
    pusher = component(unchanged, "NewModelPusher")
    assert upstream(pusher) >= {"DataGate", "ScenarioGate", "ProcessInfraValidator"}
    assert set(pusher.inputs) == {"model_blessing", "infra_blessing"}


def test_both_models_see_the_same_examples(unchanged):
    first, second = (component(unchanged, name).inputs for name in sorted(TRAINERS))
    assert first.keys() == second.keys()
    for name, channel in first.items():
        assert channel is second[name]


def test_no_model_sees_the_test_split_before_it_is_judged(unchanged):
    found = settings(unchanged)
    for name in TRAINERS:
        # Early stopping chooses the weights by the second.
        assert json.loads(found[name]["train_args"])["splits"] == ["train"]
        assert json.loads(found[name]["eval_args"])["splits"] == ["eval"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model__rank": 3}, {"CandidateTrainer"}),
        ({"model__mi_weight": 0.5}, {"CandidateTrainer"}),
        ({"model": {"name": "mlp", "hidden": [8]}}, {"CandidateTrainer"}),
        # Settings that the baseline inherits.
        ({"model__hidden": [16]}, TRAINERS),
        ({"baseline": {"name": "mlp", "hidden": [16]}}, {"BaselineTrainer"}),
        ({"features__item__embedding": 9}, TRAINERS),
        ({"features__price__embedding": 9}, TRAINERS),
        ({"training__epochs": 9}, TRAINERS),
        ({"training__seed": 9}, TRAINERS | {"ScenarioGate"}),
        ({"gates__auc": {"min": 0.7}}, {"ScenarioGate"}),
        ({"gates__per_scenario": {"min_rows": 7}}, {"ScenarioGate"}),
        ({"gates__confidence": 0.8}, {"ScenarioGate"}),
    ],
)
def test_a_change_concerns_only_what_depends_on_it(changed, changes, expected):
    assert changed(**changes) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "is_other"),
    [
        ({"model__rank": 3}, True),
        ({"training__seed": 9}, True),
        ({"features__item__embedding": 9}, True),
        ({"features__price": {"kind": "numeric", "transform": "log"}}, True),
        ({"weight": None}, True),
        ({"baseline": {"name": "mlp", "hidden": [16]}}, False),
        ({"gates__auc": {"min": 0.7}}, False),
        # The rows that are found there tell themselves what they are.
        ({"data__path": "others.csv"}, False),
        ({"data__drift": {"numeric": 0.5}}, False),
    ],
)
def test_what_a_candidate_is_made_by(unchanged, build, changes, is_other):
    assert (recipe_digest(build(**changes)) != recipe_digest(unchanged)) == is_other


def test_what_a_candidate_starts_from_is_known_by_its_files(unchanged, build, tmp_path):
    found = set()
    for folder, text in (("a", "one"), ("b", "one"), ("b", "two")):
        run = tmp_path / folder
        run.mkdir(exist_ok=True)
        for name in (KERAS_MODEL, VOCABULARIES):
            (run / name).write_text(text)
        found.add(recipe_digest(build(training__warm_start=str(run))))
    assert len(found) == 2
    assert recipe_digest(unchanged) not in found


def test_a_model_to_start_from_concerns_the_candidate(changed, tmp_path):
    for name in (KERAS_MODEL, VOCABULARIES):
        (tmp_path / name).touch()
    assert changed(training__warm_start=str(tmp_path)) == {"CandidateTrainer"}


def test_another_model_in_the_same_folder_concerns_the_candidate(build, tmp_path):
    for name in (KERAS_MODEL, VOCABULARIES):
        (tmp_path / name).touch()
    before = settings(build(training__warm_start=str(tmp_path)))
    for name in (KERAS_MODEL, VOCABULARIES):
        (tmp_path / name).write_text("other")
        after = settings(build())
        assert differing(before, after) == {"CandidateTrainer"}
        before = after


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("midpg_tf/models/midpg.py", TRAINERS),
        (
            "transform/preprocessing.py",
            {"DatasetExampleGen", "DatasetSchemaGen", "Transform"} | TRAINERS | JUDGES,
        ),
        ("pipeline/components/schema_gen.py", {"DatasetSchemaGen"} | JUDGES),
        ("pipeline/chance.py", JUDGES),
        ("pipeline/evaluation/gates.py", JUDGES),
        ("serving/signatures.py", TRAINERS | JUDGES),
        ("pipeline/console.py", set()),
    ],
)
def test_other_code_runs_anew(unchanged, build, monkeypatch, module, expected):
    read = Path.read_bytes

    def edited(file):
        addition = b"# edited" if file.as_posix().endswith(f"/{module}") else b""
        return read(file) + addition

    monkeypatch.setattr(Path, "read_bytes", edited)
    after = build()
    assert differing(settings(unchanged), settings(after)) == expected
    assert (recipe_digest(after) != recipe_digest(unchanged)) == (expected >= TRAINERS)


def test_a_change_of_the_data_concerns_the_data_components(changed):
    found = changed(features__price={"kind": "numeric", "transform": "log"})
    assert found >= {"DatasetExampleGen", "DatasetSchemaGen", "Transform"} | TRAINERS
    assert "ProcessInfraValidator" not in found


@pytest.mark.parametrize("key", ["schema_file", "drift"])
def test_what_rows_are_held_to_reads_none_again(changed, tmp_path, key):
    (tmp_path / "schema.pbtxt").touch()
    values = {"schema_file": str(tmp_path / "schema.pbtxt"), "drift": {"numeric": 0.5}}
    found = changed(**{f"data__{key}": values[key]})
    assert found >= {"DatasetSchemaGen", "DataGate"}
    assert "DatasetExampleGen" not in found


def test_what_is_on_the_disk_is_looked_at_in_each_run(unchanged, build):
    first, second = (
        component(pipeline, "NewModelPusher").exec_properties
        for pipeline in (unchanged, build())
    )
    assert first != second


def test_another_stable_version_concerns_the_gate_that_tells_of_it(
    unchanged, build, folder
):
    file = folder / "models.config"
    file.write_text(
        'model_config_list { config { name: "shop" base_path: "/shop"'
        ' model_platform: "tensorflow"'
        ' version_labels { key: "stable" value: 9 } } }'
    )
    found = settings(build())
    file.unlink()
    assert differing(settings(unchanged), found) == {"ScenarioGate"}


def test_an_edited_schema_is_read_again(build, tmp_path):
    path = tmp_path / "schema.pbtxt"
    found = []
    for text in ("one", "two"):
        path.write_text(text)
        found.append(settings(build(data__schema_file=str(path))))
    assert differing(*found) == {"DatasetSchemaGen"}


def test_a_missing_schema_is_an_error_before_any_run(build, tmp_path):
    path = tmp_path / "schema.pbtxt"
    with pytest.raises(ValueError, match="No such file or directory") as caught:
        build(data__schema_file=str(path))
    assert str(caught.value).startswith("data.schema_file: expected a TFDV schema")
    assert str(caught.value).endswith(str(path))


@pytest.mark.parametrize("section", ["model", "baseline"])
def test_settings_that_a_model_cannot_have_are_an_error_before_any_run(build, section):
    with pytest.raises(ValueError, match="model midpg: dropout: expected a share"):
        build(**{section: {"name": "midpg", "dropout": 2}})


def test_no_model_to_start_from_is_an_error_before_any_run(build, tmp_path):
    with pytest.raises(ValueError, match=r"training.warm_start: .* found no model"):
        build(training__warm_start=str(tmp_path))


def test_tfma_slices_by_the_whole_scenario(spec):
    config = eval_config(spec)
    assert [list(one.feature_keys) for one in config.slicing_specs] == [
        [],
        ["channel", "device"],
    ]
    assert [
        (one.name, one.is_baseline, one.label_key, one.example_weight_key)
        for one in config.model_specs
    ] == [
        (tfma.CANDIDATE_KEY, False, "liked", "importance"),
        (tfma.BASELINE_KEY, True, "liked", "importance"),
    ]
    plain = eval_config(spec.model_copy(update={"weight": None}))
    assert {one.example_weight_key for one in plain.model_specs} == {""}

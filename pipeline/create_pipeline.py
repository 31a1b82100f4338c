"""The TFX pipeline of a data set: arguments in, a pipeline out, no side effects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import tensorflow_model_analysis as tfma
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode

from midpg_tf.spec import DatasetSpec, ModelSpec, Training
from midpg_tf.spec.section import Section
from pipeline.code_digest import (
    DATA_CODE,
    JUDGING_CODE,
    TRAINING_CODE,
    code_digest,
)
from pipeline.components.data_gate import DataGate
from pipeline.components.example_gen import DatasetExampleGen
from pipeline.components.infra_validator import ProcessInfraValidator
from pipeline.components.production import PushedModelStrategy, readable_stable
from pipeline.components.pusher import NewModelPusher
from pipeline.components.scenario_gate import ScenarioGate
from pipeline.components.schema_gen import STATISTICS_OPTIONS, DatasetSchemaGen
from pipeline.training_run import check_run, run_digest
from serving.signatures import DEFAULT_SIGNATURE, SCORE


def create_pipeline(
    spec: DatasetSpec,
    pipeline_root: str,
    serving_dir: str,
    schema_dir: str,
    models_file: str,
    rolled_back: str,
    metadata_connection_config: metadata_store_pb2.ConnectionConfig | None = None,
    enable_cache: bool = True,
    beam_pipeline_args: Sequence[str] = (),
    model_name: str | None = None,
) -> tfx.dsl.Pipeline:
    """Builds the pipeline from rows to a pushed model.

    Args:
        spec: The data-set description; the pipeline bears its name.
        pipeline_root: Where artifacts go.
        serving_dir: Where blessed models are pushed, a folder a version.
        schema_dir: Where the schema and statistics of the first run are kept.
        models_file: The server's model configuration file, whose label `stable` says
            which version is in production; it may be missing.
        rolled_back: The file of the versions that were rolled back; it may be missing.
        metadata_connection_config: The metadata store. Default: the runner's own.
        enable_cache: Whether a component whose inputs haven't changed is skipped.
        beam_pipeline_args: For Beam, such as `--runner=...`.
        model_name: Name of the model in `models_file`. Default: the description's.

    Raises:
        ValueError: If the description names a curated schema that can't be read, a
            model to start from that isn't there, or settings that a model can't have.
    """
    for model in (spec.model, spec.baseline):
        spec.check_model(model)
    if spec.training.warm_start:
        check_run(Path(spec.training.warm_start))

    data = _without_embeddings(_data_alone(spec))
    example_gen, *checks, transform = _data_components(data, schema_dir)
    examples = example_gen.outputs["examples"]

    # The baseline and the candidate see the same examples and settings.
    training = spec.training.model_copy(update={"warm_start": None})
    baseline = _trainer("BaselineTrainer", spec.baseline, training, transform, spec)
    candidate = _trainer("CandidateTrainer", spec.model, spec.training, transform, spec)

    model_name = model_name or spec.name
    production = _production(serving_dir, models_file, model_name)
    # TFMA's figures by scenario, for its viewers; the bounds are the next gate's.
    evaluator = tfx.components.Evaluator(
        examples=examples,
        model=candidate.outputs["model"],
        baseline_model=baseline.outputs["model"],
        eval_config=eval_config(spec),
        example_splits=["test"],
    )
    scenario_gate = ScenarioGate(
        candidate=candidate.outputs["model"],
        baseline=baseline.outputs["model"],
        production=production.outputs["model"],
        pushed=production.outputs["pushed"],
        examples=examples,
        serving=serving_dir,
        spec=data.to_json(),
        gates=spec.gates.model_dump_json(),
        seed=spec.training.seed,
        models_file=models_file,
        model_name=model_name,
    )
    # The model must answer real requests in the serving stack.
    infra_validator = ProcessInfraValidator(
        model=candidate.outputs["model"], examples=examples, model_name=spec.name
    )
    # The gate tells of a stable version that it can't compare with.
    stable = str(readable_stable(models_file, model_name))
    _add_to_cache_key(scenario_gate, *JUDGING_CODE, stable=stable)
    _add_to_cache_key(infra_validator, *JUDGING_CODE)
    pusher = NewModelPusher(
        model_blessing=scenario_gate.outputs["blessing"],
        # The validated model: the candidate with its warm-up requests.
        infra_blessing=infra_validator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=serving_dir)
        ),
        rolled_back=rolled_back,
        recipe_digest=_recipe_digest(candidate),
    )
    return tfx.dsl.Pipeline(
        pipeline_name=spec.name,
        pipeline_root=pipeline_root,
        components=[
            example_gen,
            *checks,
            transform,
            baseline,
            candidate,
            production,
            evaluator,
            scenario_gate,
            infra_validator,
            pusher,
        ],
        enable_cache=enable_cache,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=list(beam_pipeline_args),
    )


def _data_alone(spec: DatasetSpec) -> DatasetSpec:
    """The description without what is said of models.

    A component sees only what it depends on, so that a change of the model's settings
    doesn't read the data again.
    """
    return _reset(spec, "model", "baseline", "training", "gates")


def _without_embeddings(spec: DatasetSpec) -> DatasetSpec:
    """The description with default widths of embeddings, which trainers alone need."""
    features = {key: _reset(each, "embedding") for key, each in spec.features.items()}
    return spec.model_copy(update={"features": features})


def _rows_alone(spec: DatasetSpec) -> DatasetSpec:
    """The description without what rows are held to when they have been read."""
    data = _reset(spec.data, "schema_file", "drift")
    return spec.model_copy(update={"data": data})


_Section = TypeVar("_Section", bound=Section)


def _reset(section: _Section, *keys: str) -> _Section:
    """The section with keys at their defaults."""
    fields = type(section).model_fields
    return section.model_copy(update={key: fields[key].default for key in keys})


def _data_components(spec: DatasetSpec, schema_dir: str) -> list[BaseNode]:
    """From rows to what models train on: ExampleGen first, Transform last."""
    # Reads and checks the rows; refuses what no model should be trained on.
    example_gen = DatasetExampleGen(_rows_alone(spec))
    _add_to_cache_key(example_gen, *DATA_CODE, "pipeline.components.example_gen")
    examples = example_gen.outputs["examples"]

    # The schema comes from the first data and then stays what new data is held to.
    statistics_gen = tfx.components.StatisticsGen(
        examples=examples, stats_options=STATISTICS_OPTIONS
    )
    schema_gen = DatasetSchemaGen(
        statistics=statistics_gen.outputs["statistics"],
        spec=spec.to_json(),
        kept=schema_dir,
    )
    schema = schema_gen.outputs["schema"]

    # Anomalies and drift stop the run before anything is trained.
    data_gate = DataGate(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema,
        spec=spec.to_json(),
        kept=schema_dir,
    )
    _add_to_cache_key(
        schema_gen,
        *DATA_CODE,
        "pipeline.components.schema_gen",
        curated=_digest(spec.data.schema_file),
    )
    _add_to_cache_key(data_gate, *JUDGING_CODE)
    transform = tfx.components.Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="transform.preprocessing.preprocessing_fn",
        custom_config={"spec": spec.to_json()},
        # StatisticsGen has those of the rows.
        disable_statistics=True,
    )
    _add_to_cache_key(transform, *DATA_CODE)
    transform.add_upstream_node(data_gate)
    return [example_gen, statistics_gen, schema_gen, data_gate, transform]


def _add_to_cache_key(node: BaseNode, *code: str, **files: str) -> None:
    """Adds to a component's cache key what TFX leaves out of it.

    Args:
        node: A component; it doesn't read what is added here.
        *code: The packages and modules that it runs.
        **files: What it finds in files, or a digest of it, by any name.
    """
    node.exec_properties.update(files, code=code_digest(*code))


def _trainer(
    name: str,
    model: ModelSpec,
    training: Training,
    transform: BaseNode,
    spec: DatasetSpec,
) -> BaseNode:
    trainer = tfx.components.Trainer(
        run_fn="pipeline.trainer.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        train_args=tfx.proto.TrainArgs(splits=["train"]),
        eval_args=tfx.proto.EvalArgs(splits=["eval"]),
        custom_config={
            "spec": _data_alone(spec).to_json(),
            "model": json.dumps({"name": model.name, **spec.settings(model)}),
            "training": training.model_dump_json(),
        },
    ).with_id(name)
    start = training.warm_start
    earlier = run_digest(Path(start)) if start else ""
    _add_to_cache_key(trainer, *TRAINING_CODE, earlier=earlier)
    return trainer


def _recipe_digest(trainer: BaseNode) -> str:
    """Digests all that a trainer makes a model by, but for the rows.

    Where these are, and the earlier run that it starts from, is no matter.
    """
    properties = trainer.exec_properties
    config = json.loads(properties["custom_config"])
    spec, training = json.loads(config["spec"]), json.loads(config["training"])
    del spec["data"], training["warm_start"]
    parts = config | {"spec": spec, "training": training}
    text = json.dumps([parts, properties["code"], properties["earlier"]])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _production(serving_dir: str, models_file: str, model_name: str) -> BaseNode:
    """Finds the model that the candidate would replace."""
    return tfx.dsl.Resolver(
        strategy_class=PushedModelStrategy,
        config={
            "serving_dir": serving_dir,
            "models_file": models_file,
            "model_name": model_name,
        },
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        pushed=tfx.dsl.Channel(type=tfx.types.standard_artifacts.PushedModel),
    ).with_id("ProductionModel")


def eval_config(spec: DatasetSpec) -> tfma.EvalConfig:
    """TFMA's configuration: candidate and baseline, overall and by scenario."""
    weight = {"example_weight_key": spec.weight} if spec.weight else {}
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                name=name,
                signature_name=DEFAULT_SIGNATURE,
                label_key=spec.label.name,
                prediction_key=SCORE,
                is_baseline=name == tfma.BASELINE_KEY,
                **weight,
            )
            for name in (tfma.CANDIDATE_KEY, tfma.BASELINE_KEY)
        ],
        slicing_specs=[
            tfma.SlicingSpec(),
            tfma.SlicingSpec(feature_keys=list(spec.scenario)),
        ],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(class_name="ExampleCount"),
                    # Of thousands of scenarios, 10,000 thresholds each take minutes.
                    tfma.MetricConfig(
                        class_name="AUC", config=json.dumps({"num_thresholds": 1000})
                    ),
                    tfma.MetricConfig(class_name="BinaryCrossEntropy"),
                    tfma.MetricConfig(class_name="Calibration"),
                ]
            )
        ],
    )


def _digest(path: str | None) -> str:
    if not path:
        return ""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(
            f"data.schema_file: expected a TFDV schema in text format, found"
            f" {error.strerror or error}: {path}"
        ) from error

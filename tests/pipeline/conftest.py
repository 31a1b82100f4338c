"""A small data set and models whose scores are known, for the pipeline's tests."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import itertools
import json
import logging
import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf
import tfx  # noqa: F401  before any TFDV: it provides what TFDV 1.16 lacks
import yaml
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.orchestration import metadata

from midpg_tf.spec import DatasetSpec, ExampleEncoder
from pipeline.cli import main
from pipeline.paths import RunPaths
from pipeline.trainer import run_fn
from transform.run import write_transformed
from transform.runner import IN_PROCESS

CONTENT = {
    "name": "shop",
    "data": {
        "format": "csv",
        "path": "rows.csv",
        "split": {"by": "time", "column": "time", "eval": 0.2, "test": 0.2},
    },
    "label": {"name": "liked"},
    "weight": "importance",
    "scenario": ["channel", "device"],
    "features": {
        "channel": {"kind": "categorical", "embedding": 4},
        "device": {"kind": "categorical", "embedding": 4},
        "item": {"kind": "categorical", "embedding": 4},
        "price": {"kind": "numeric"},
        "tags": {"kind": "multivalued", "embedding": 4},
    },
    "model": {"name": "midpg", "hidden": [8], "rank": 2},
    "training": {"epochs": 1, "batch_size": 64},
    "gates": {"resample_by": "item", "resamples": 100},
}


class Scorer(tf.Module):
    """The score is the logistic function of `a` times a number of the row."""

    def __init__(self, a: float, feature: str = "price", noise: float = 0.0) -> None:
        super().__init__()
        self.a = tf.Variable(a)
        self.feature = feature
        self.noise = noise

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def score(self, examples):
        parse = {self.feature: tf.io.FixedLenFeature([], tf.float32)}
        number = tf.io.parse_example(examples, parse)[self.feature]
        noise = tf.random.uniform(tf.shape(number), maxval=self.noise)
        return {"score": tf.sigmoid(self.a * number) + noise}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": self.score(inputs)["score"]}

    def save(self, path: str) -> None:
        signatures = {"serving_default": self.score, "regress": self.regress}
        tf.saved_model.save(self, path, signatures=signatures)
        utils = tf.compat.v1.saved_model.signature_def_utils
        updater = utils.MethodNameUpdater(path)
        updater.replace_method_name("regress", "tensorflow/serving/regress")
        updater.save()


Rows = list[dict[str, Any]]


def draw_rows(count: int = 400, *, seed: int = 0) -> Rows:
    draw = random.Random(seed)  # noqa: S311
    rows = []
    for time in range(count):
        price = round(draw.gauss(0, 2), 3)
        rows.append(
            {
                "time": time,
                "channel": draw.choice(["web", "app"]),
                "device": draw.choice(["phone", "desk"]),
                "item": f"i{draw.randrange(8)}",
                "price": price,
                "tags": "|".join(draw.sample(["x", "y", "z"], draw.randrange(3))),
                "liked": int(price + draw.gauss(0, 2) > 0),
                "importance": 1.0,
            }
        )
    return rows


@pytest.fixture
def real_stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Makes stderr the descriptor that C++ writes to; under pytest it is another."""
    with contextlib.ExitStack() as files:

        def change() -> None:
            file = os.fdopen(2, "w", buffering=1, closefd=False)
            monkeypatch.setattr(sys, "stderr", files.enter_context(file))

        yield change
        monkeypatch.undo()


@pytest.fixture
def process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command sets up logging and environment for a process of its own."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.delenv("MIDPG_ROOT", raising=False)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def command(
    capfd: pytest.CaptureFixture[str],
    real_stderr: Callable[[], None],
    process_as_before: None,
) -> Callable[..., SimpleNamespace]:
    """Runs `midpg` in this process; gives exit code, and lines of its output."""

    def run(*arguments: Any) -> SimpleNamespace:
        capfd.readouterr()
        real_stderr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return SimpleNamespace(
            code=ended.value.code,
            out=[line.rstrip() for line in out.splitlines() if line.strip()],
            err=err.splitlines(),
        )

    return run


@pytest.fixture
def content() -> dict[str, Any]:
    """The data-set file's content, free to be changed."""
    return yaml.safe_load(yaml.safe_dump(CONTENT))


@pytest.fixture(scope="session")
def spec() -> DatasetSpec:
    return DatasetSpec.model_validate(CONTENT)


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Rows]:
    """Makes rows in the order of time; who pays more likes more."""
    return draw_rows


@pytest.fixture
def write_dataset(
    tmp_path: Path, content: dict[str, Any]
) -> Callable[[Sequence[Mapping[str, Any]]], Path]:
    """Writes rows as CSV, and `content` as their data-set file, whose path it gives."""

    def write(rows: Sequence[Mapping[str, Any]]) -> Path:
        with (tmp_path / "rows.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        path = tmp_path / "shop.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def write_examples(spec: DatasetSpec) -> Callable[..., list[bytes]]:
    """Writes rows as an ExampleGen does, a file for each list of rows."""

    def write(folder: Path, *files: Iterable[Mapping[str, Any]]) -> list[bytes]:
        folder.mkdir(parents=True)
        encoder = ExampleEncoder(spec)
        examples = []
        for number, rows in enumerate(files):
            path = folder / f"data_tfrecord-{number:05}-of-{len(files):05}.gz"
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for row in rows:
                    examples.append(
                        encoder.encode(row, with_label=True).SerializeToString()
                    )
                    writer.write(examples[-1])
        return examples

    return write


@pytest.fixture(scope="session")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Gives the folder of a trained model's artifact that scores as `Scorer` does."""
    made: dict[tuple[Any, ...], Path] = {}

    def get(a: float, feature: str = "price", noise: float = 0.0) -> Path:
        key = (a, feature, noise)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("model")
            Scorer(a, feature, noise).save(str(made[key] / "Format-Serving"))
        return made[key]

    return get


@dataclasses.dataclass(frozen=True)
class PipelineFiles:
    """What the components before the trainers leave behind, of 400 rows.

    Attributes:
        spec: The description.
        raw: The folder of raw examples, with a folder a split.
        graph: The folder of the transformations.
        transformed: The folder of transformed examples, with a folder a split.
    """

    spec: DatasetSpec
    raw: Path
    graph: Path
    transformed: Path


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PipelineFiles:
    root = tmp_path_factory.mktemp("prepared")
    spec = DatasetSpec.model_validate(CONTENT)
    rows = draw_rows(400, seed=0)
    splits = {"train": rows[:240], "eval": rows[240:320], "test": rows[320:]}
    encoder = ExampleEncoder(spec)
    with beam.Pipeline(runner=IN_PROCESS) as pipeline:
        examples = {}
        for split, part in splits.items():
            records = [
                encoder.encode(row, with_label=True).SerializeToString() for row in part
            ]
            folder = root / "raw" / f"Split-{split}"
            folder.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
                for record in records:
                    writer.write(record)
            examples[split] = pipeline | f"{split} rows" >> beam.Create(records)
        write_transformed(examples, spec, root)
    (root / "transformed").mkdir()
    for split in splits:
        (root / split).rename(root / "transformed" / f"Split-{split}")
    return PipelineFiles(spec, root / "raw", root / "graph", root / "transformed")


class Store:
    """Writes executions to a metadata store, as TFX's launcher does."""

    def __init__(self, paths: RunPaths) -> None:
        config = metadata.sqlite_metadata_connection_config(str(paths.metadata))
        self.store = metadata_store.MetadataStore(config)
        self.types = {
            "context": self.store.put_context_type(mlmd.ContextType(name="node")),
            "execution": self.store.put_execution_type(mlmd.ExecutionType(name="run")),
            "artifact": self.store.put_artifact_type(mlmd.ArtifactType(name="any")),
        }
        self.contexts: dict[str, mlmd.Context] = {}
        self.artifacts: dict[str, mlmd.Artifact] = {}
        self.numbers = itertools.count()

    def add(
        self,
        node: str,
        *,
        state: int = mlmd.Execution.COMPLETE,
        inputs: Mapping[str, str] | None = None,
        properties: Mapping[str, int | str] | None = None,
        **outputs: str,
    ) -> None:
        """Adds an execution; inputs and outputs are artifacts' paths by name."""
        if node not in self.contexts:
            context = mlmd.Context(type_id=self.types["context"], name=node)
            (context.id,) = self.store.put_contexts([context])
            self.contexts[node] = context
        execution = mlmd.Execution(
            type_id=self.types["execution"],
            last_known_state=state,
            name=f"run {next(self.numbers)}",
        )
        pairs = []
        for kind, paths in (
            (mlmd.Event.INPUT, inputs or {}),
            (mlmd.Event.OUTPUT, outputs),
        ):
            for name, path in paths.items():
                event = mlmd.Event(type=kind)
                event.path.steps.add(key=name)
                pairs.append((self._artifact(path, properties or {}), event))
        _, ids, _ = self.store.put_execution(execution, pairs, [self.contexts[node]])
        for (artifact, _), found in zip(pairs, ids, strict=True):
            artifact.id = found

    def judge(self, *, report: str, examples: str) -> str:
        """Adds a run of the gates; gives the path of its blessing."""
        blessing = f"{report}/blessing"
        self.add(
            "shop.ScenarioGate",
            inputs={"examples": examples},
            report=report,
            blessing=blessing,
        )
        return blessing

    def push(
        self,
        version: int,
        *,
        report: str,
        examples: str,
        statistics: str,
        pushed: bool = True,
        basis: str = "",
    ) -> None:
        """Adds a run, as far as it tells where a version comes from."""
        self.add(
            "shop.StatisticsGen", inputs={"examples": examples}, statistics=statistics
        )
        blessing = self.judge(report=report, examples=examples)
        self.add(
            "shop.NewModelPusher",
            inputs={"model_blessing": blessing},
            properties={
                "pushed": int(pushed),
                "pushed_version": str(version),
                "basis": basis,
            },
            pushed_model=f"/pushed/{version}",
        )

    def _artifact(
        self, path: str, properties: Mapping[str, int | str]
    ) -> mlmd.Artifact:
        if path not in self.artifacts:
            artifact = mlmd.Artifact(type_id=self.types["artifact"], uri=path)
            for name, value in properties.items():
                kind = "int_value" if isinstance(value, int) else "string_value"
                setattr(artifact.custom_properties[name], kind, value)
            self.artifacts[path] = artifact
        return self.artifacts[path]


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    """Where a data set's runs keep their files: an empty folder."""
    return RunPaths(tmp_path)


@pytest.fixture
def store(paths: RunPaths) -> Store:
    return Store(paths)


TRAINING = {"epochs": 2, "batch_size": 64, "learning_rate": 0.03}


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a trainer leaves behind: the folders of its two artifacts."""

    model_run: Path
    model: Path


@pytest.fixture(scope="session")
def train(
    prepared: PipelineFiles, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Trained]:
    """Trains a small model as TFX's Trainer does: the baseline, which is quicker."""

    def train(*, negative_rate: float = 1.0, **training: Any) -> Trained:
        folder = tmp_path_factory.mktemp("trained")
        model = {"name": "mlp", "hidden": [8], "negative_rate": negative_rate}
        run_fn(
            FnArgs(
                train_files=[str(prepared.transformed / "Split-train" / "*")],
                eval_files=[str(prepared.transformed / "Split-eval" / "*")],
                transform_output=str(prepared.graph),
                serving_model_dir=str(folder / "model" / "Format-Serving"),
                model_run_dir=str(folder / "model_run"),
                custom_config={
                    "spec": prepared.spec.to_json(),
                    "model": json.dumps(model),
                    "training": json.dumps(TRAINING | training),
                },
            )
        )
        return Trained(folder / "model_run", folder / "model")

    return train


@pytest.fixture(scope="session")
def trained(train: Callable[..., Trained]) -> Trained:
    return train()

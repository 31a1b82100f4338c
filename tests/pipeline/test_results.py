"""Outputs of the newest run, found in a metadata store."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration import metadata

from pipeline.evaluation.gates import GateReport
from pipeline.paths import RunPaths
from pipeline.results import Results

Execution = mlmd.Execution


@pytest.fixture
def paths(tmp_path):
    return RunPaths(tmp_path)


class Store:
    """Writes executions as TFX's launcher does."""

    def __init__(self, paths):
        config = metadata.sqlite_metadata_connection_config(str(paths.metadata))
        self.store = metadata_store.MetadataStore(config)
        self.types = {
            "context": self.store.put_context_type(mlmd.ContextType(name="node")),
            "execution": self.store.put_execution_type(mlmd.ExecutionType(name="run")),
            "artifact": self.store.put_artifact_type(mlmd.ArtifactType(name="Model")),
        }
        self.contexts = {}
        self.numbers = itertools.count()

    def add(self, node, uri, state=Execution.COMPLETE, output="model", **properties):
        if node not in self.contexts:
            context = mlmd.Context(type_id=self.types["context"], name=node)
            (context.id,) = self.store.put_contexts([context])
            self.contexts[node] = context
        execution = Execution(
            type_id=self.types["execution"],
            last_known_state=state,
            name=f"run {next(self.numbers)}",
        )
        artifact = mlmd.Artifact(type_id=self.types["artifact"], uri=uri)
        for name, value in properties.items():
            kind = "int_value" if isinstance(value, int) else "string_value"
            setattr(artifact.custom_properties[name], kind, value)
        event = mlmd.Event(type=mlmd.Event.OUTPUT)
        event.path.steps.add(key=output)
        self.store.put_execution(execution, [(artifact, event)], [self.contexts[node]])


@pytest.fixture
def store(paths):
    return Store(paths)


def test_no_run(paths):
    with pytest.raises(FileNotFoundError, match="run `midpg run` first") as caught:
        Results(paths)
    assert str(caught.value).startswith(f"{paths.root}: expected the files of a run")


def test_the_newest_output_is_found(paths, store):
    store.add("shop.Trainer", "/1")
    store.add("shop.Trainer", "/2", blessed=1, status="GOOD")
    store.add("shop.OtherTrainer", "/3")
    store.add("shop.Trainer", "/4", output="model_run")
    found = Results(paths).newest("Trainer", "model")
    assert found.uri == Path("/2")
    assert found.properties == {"blessed": 1, "status": "GOOD"}
    assert Results(paths).newest("Trainer", "model_run").uri == Path("/4")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Execution.COMPLETE, "/2"),
        (Execution.CACHED, "/2"),
        (Execution.FAILED, "/1"),
        (Execution.RUNNING, "/1"),
    ],
)
def test_only_what_ended_well_counts(paths, store, state, expected):
    store.add("shop.Trainer", "/1")
    store.add("shop.Trainer", "/2", state)
    assert Results(paths).newest("Trainer", "model").uri == Path(expected)


@pytest.mark.parametrize("component", ["Trainer", "Evaluator"])
def test_no_output(paths, store, component):
    store.add("shop.Trainer", "/1", Execution.FAILED)
    with pytest.raises(LookupError, match=f"the output 'model' of {component}, found"):
        Results(paths).newest(component, "model")


def test_the_report_is_read(paths, store, tmp_path):
    report = GateReport(slices=[], refusals=[], notes=["a note"])
    (tmp_path / "gates.json").write_text(report.model_dump_json())
    store.add("shop.ScenarioGate", str(tmp_path), output="report")
    assert Results(paths).report() == report

"""What a run left behind, found through the metadata store."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ml_metadata import errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration import metadata

from pipeline.components.pusher import (
    BASIS_KEY,
    PUSHED_KEY,
    VERSION_KEY,
    NewModelPusher,
)
from pipeline.components.scenario_gate import REPORT_FILE
from pipeline.evaluation.gates import GateReport
from pipeline.paths import RunPaths


class Artifact(NamedTuple):
    """An artifact of a run.

    Attributes:
        uri: Its folder.
        properties: What its component noted about it.
    """

    uri: Path
    properties: dict[str, int | str]


class Pushed(NamedTuple):
    """Where a version in production comes from.

    Attributes:
        report: The folder of the gates' report that it was pushed with.
        examples: The folder of the examples that it was trained and judged on.
        statistics: The folder of their statistics.
        basis: The note of what it was trained for, a `Basis` as JSON; empty for none.
    """

    report: Path
    examples: Path
    statistics: Path
    basis: str = ""


class Results:
    """The outputs of a data set's components.

    Args:
        paths: The data set's folder.

    Raises:
        FileNotFoundError: If there has been no run.
    """

    def __init__(self, paths: RunPaths) -> None:
        if not paths.metadata.exists():
            raise FileNotFoundError(
                f"{paths.root}: expected the files of a run, found none; run"
                " `midpg run` first"
            )
        self._store = metadata_store.MetadataStore(
            metadata.sqlite_metadata_connection_config(str(paths.metadata))
        )
        self._artifacts_dir = paths.artifacts

    def newest(self, component: str, output: str) -> Artifact:
        """The newest artifact of a component's output.

        Args:
            component: The component's id, such as `CandidateTrainer`.
            output: The output's name, such as `model`.

        Raises:
            LookupError: If there is none.
        """
        for execution in self._executions(component):
            artifact = self._outputs(execution).get(output)
            if artifact is not None:
                properties = {
                    name: getattr(value, value.WhichOneof("value"))
                    for name, value in artifact.custom_properties.items()
                }
                return Artifact(self._folder(artifact), properties)
        raise LookupError(
            f"expected the output {output!r} of {component}, found none; see the log of"
            " the run"
        )

    def report(self) -> GateReport:
        """The newest report of the gates."""
        return read_report(self.newest("ScenarioGate", "report").uri)

    def pushed(self) -> dict[int, Pushed]:
        """Where each version comes from that a run has pushed."""
        statistics = {
            self._inputs(execution)["examples"].id: self._outputs(execution)
            for execution in self._executions("StatisticsGen")
        }
        # The pusher read a blessing, and whoever wrote that wrote the report beside it.
        gates = {
            self._outputs(execution)["blessing"].id: execution
            for execution in self._executions("ScenarioGate")
        }
        found = {}
        for execution in self._executions(NewModelPusher.__name__):
            pushed = self._outputs(execution)["pushed_model"].custom_properties
            if not pushed[PUSHED_KEY].int_value:
                continue
            gate = gates[self._inputs(execution)["model_blessing"].id]
            examples = self._inputs(gate)["examples"]
            found[int(pushed[VERSION_KEY].string_value)] = Pushed(
                self._folder(self._outputs(gate)["report"]),
                self._folder(examples),
                self._folder(statistics[examples.id]["statistics"]),
                pushed[BASIS_KEY].string_value,
            )
        return found

    def _folder(self, artifact: mlmd.Artifact) -> Path:
        """The artifact's folder; the data set's may have been elsewhere at the time."""
        # Component, output, and the execution's number.
        return self._artifacts_dir.joinpath(*Path(artifact.uri).parts[-3:])

    def _inputs(self, execution: mlmd.Execution) -> dict[str, mlmd.Artifact]:
        return self._artifacts(execution, mlmd.Event.INPUT)

    def _outputs(self, execution: mlmd.Execution) -> dict[str, mlmd.Artifact]:
        return self._artifacts(execution, mlmd.Event.OUTPUT)

    def _artifacts(
        self, execution: mlmd.Execution, kind: int
    ) -> dict[str, mlmd.Artifact]:
        found = {}
        for event in self._store.get_events_by_execution_ids([execution.id]):
            if event.type == kind:
                (artifact,) = self._store.get_artifacts_by_id([event.artifact_id])
                found[event.path.steps[0].key] = artifact
        return found

    def _executions(self, component: str) -> list[mlmd.Execution]:
        """Those that ended well, the newest first."""
        try:
            contexts = self._store.get_contexts_by_type("node")
        except errors.NotFoundError:
            return []
        done = {mlmd.Execution.COMPLETE, mlmd.Execution.CACHED}
        found = [
            execution
            for context in contexts
            if context.name.endswith(f".{component}")
            for execution in self._store.get_executions_by_context(context.id)
            if execution.last_known_state in done
        ]
        return sorted(found, key=lambda execution: execution.id, reverse=True)


def read_report(folder: Path) -> GateReport:
    """Reads the gates' report of an artifact's folder."""
    return GateReport.model_validate_json((folder / REPORT_FILE).read_text("utf-8"))

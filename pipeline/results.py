"""What a run left behind, found through the metadata store."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ml_metadata import errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

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


class Results:
    """The newest outputs of a data set's components.

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

    def newest(self, component: str, output: str) -> Artifact:
        """The newest artifact of a component's output.

        Args:
            component: The component's id, such as `CandidateTrainer`.
            output: The output's name, such as `model`.

        Raises:
            LookupError: If there is none.
        """
        executions = self._executions(component)
        for execution in sorted(executions, key=lambda e: e.id, reverse=True):
            for event in self._store.get_events_by_execution_ids([execution.id]):
                if (
                    event.type == metadata_store_pb2.Event.OUTPUT
                    and event.path.steps[0].key == output
                ):
                    (found,) = self._store.get_artifacts_by_id([event.artifact_id])
                    properties = {
                        name: value.int_value or value.string_value
                        for name, value in found.custom_properties.items()
                    }
                    return Artifact(Path(found.uri), properties)
        raise LookupError(
            f"expected the output {output!r} of {component}, found none; see the log of"
            " the run"
        )

    def report(self) -> GateReport:
        """The newest report of the gates."""
        folder = self.newest("ScenarioGate", "report").uri
        return GateReport.model_validate_json((folder / REPORT_FILE).read_text())

    def _executions(self, component: str) -> list[metadata_store_pb2.Execution]:
        try:
            contexts = self._store.get_contexts_by_type("node")
        except errors.NotFoundError:
            return []
        done = {
            metadata_store_pb2.Execution.COMPLETE,
            metadata_store_pb2.Execution.CACHED,
        }
        return [
            execution
            for context in contexts
            if context.name.endswith(f".{component}")
            for execution in self._store.get_executions_by_context(context.id)
            if execution.last_known_state in done
        ]

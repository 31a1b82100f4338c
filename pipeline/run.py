"""A run from the data-set file to the outcome of the gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from midpg_tf.spec import DatasetSpec
from pipeline.components.data_gate import NOTES_KEY, DataGate
from pipeline.components.example_gen import DatasetExampleGen
from pipeline.components.infra_validator import REASON_KEY, ProcessInfraValidator
from pipeline.components.pusher import (
    NOTE_KEY,
    PUSHED_KEY,
    VERSION_KEY,
    NewModelPusher,
)
from pipeline.evaluation.gates import PRODUCTION, GateReport
from pipeline.local_runner import local_pipeline, run_locally
from pipeline.paths import RunPaths
from pipeline.results import Results
from pipeline.run_lock import only_run
from serving.versions import find_versions
from transform.summary import Summary, read_summary


class RunOutcome(NamedTuple):
    """How a run ended.

    Attributes:
        report: The gates' figures and refusals.
        notes: What a reader should know: of the data, then of the gates, then why a
            model that passed wasn't pushed.
        unservable: Why the model can't answer in the serving stack; None if it can.
        version: The version that this run pushed, or else the newest of those that
            were there; None if there was none.
        pushed: Whether this run pushed it.
        trained: The folder of the candidate's training run, for `warm_start`.
        uncompared: Whether it was pushed without a comparison with the model in
            production, though there were versions.
        data: What the run found in the rows.
    """

    report: GateReport
    notes: list[str]
    unservable: str | None
    version: int | None
    pushed: bool
    trained: Path
    uncompared: bool
    data: Summary

    @property
    def refusals(self) -> list[str]:
        """Why gates refused the candidate; empty if it passed."""
        found = [str(refusal) for refusal in self.report.refusals]
        if self.unservable is not None:
            found.append(
                f"gate infrastructure: the model can't serve: {self.unservable}"
            )
        return found


def run_pipeline(
    spec: DatasetSpec,
    paths: RunPaths,
    *,
    enable_cache: bool = True,
    models_file: Path | None = None,
    model_name: str | None = None,
) -> RunOutcome:
    """Runs the pipeline on this machine.

    Args:
        spec: The data-set description.
        paths: Where the files go.
        enable_cache: Whether a component whose inputs haven't changed is skipped.
        models_file: The server's model configuration file, whose label `stable` says
            which version is in production. Default: that in the folder.
        model_name: Name of the model in it. Default: the data set's.

    Raises:
        ValueError: If the data is refused: `IngestError`, `DataError`.
        RuntimeError: If another run is in the same folder, or that is another
            data-set file's.
    """
    with only_run(paths):
        before = versions(paths.serving)
        pipeline = local_pipeline(
            spec,
            paths,
            enable_cache=enable_cache,
            models_file=models_file,
            model_name=model_name,
        )
        run_locally(pipeline)
        results = Results(paths)
        infra = results.newest(ProcessInfraValidator.__name__, "blessing")
        blessed = infra.properties.get("blessed")
        checked = results.newest(DataGate.__name__, "anomalies")
        examples = results.newest(DatasetExampleGen.__name__, "examples")
        push = results.newest(NewModelPusher.__name__, "pushed_model").properties
        noted = bool(push[PUSHED_KEY])
        version = int(push[VERSION_KEY]) if noted else max(before, default=None)
        # The newest version is noted again where the candidate is a twin of it.
        pushed = noted and version not in before
        report = results.report()
        compared = PRODUCTION in report.slices[0].models
        return RunOutcome(
            report=report,
            notes=[
                *json.loads(str(checked.properties[NOTES_KEY])),
                *report.notes,
                *([str(push[NOTE_KEY])] if push[NOTE_KEY] else []),
            ],
            unservable=None if blessed else str(infra.properties[REASON_KEY]),
            version=version,
            pushed=pushed,
            trained=results.newest("CandidateTrainer", "model_run").uri,
            uncompared=pushed and bool(before) and not compared,
            data=read_summary(str(examples.uri)),
        )


def versions(serving_dir: Path) -> set[int]:
    """The complete versions in a folder of pushed models."""
    return set(find_versions(serving_dir).versions)

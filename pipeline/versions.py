"""The versions of a model: on disk, in the server, and how they were judged."""

from __future__ import annotations

from pathlib import Path

from pipeline.evaluation.gates import CANDIDATE, ModelFigures
from pipeline.paths import RunPaths
from pipeline.records import Record
from pipeline.results import Results, read_report
from serving.control import ServerControl
from serving.errors import ServingError
from serving.model_config_file import ModelConfigFile
from serving.rollout import Rollout, RolloutError
from serving.status import VersionStatus
from serving.versions import find_versions


class Version(Record):
    """One version.

    Attributes:
        version: Its number.
        on_disk: Whether it is in the folder of pushed models.
        state: In the server, such as `AVAILABLE`; None if the server doesn't know it.
        error: Why it didn't load.
        labels: Its labels in the server's model configuration file.
        figures: Of all test rows, in the report that it was pushed with; None if no run
            here has pushed it, or that can't be read any more.
    """

    version: int
    on_disk: bool
    state: str | None
    error: str | None
    labels: list[str]
    figures: ModelFigures | None


class Versions(Record):
    """All versions.

    Attributes:
        model: Name of the model.
        server: The server, as `host:port`.
        reachable: Whether it answered.
        versions: The newest first.
        notes: What a reader should know.
    """

    model: str
    server: str
    reachable: bool
    versions: list[Version]
    notes: list[str]


def list_versions(
    model: str, paths: RunPaths, file: Path, control: ServerControl
) -> Versions:
    """Gathers what is known of each version.

    Args:
        model: Name of the model.
        paths: Where the data set's runs keep their files.
        file: The server's model configuration file; it may be missing.
        control: The server; it may not run.
    """
    notes: list[str] = []
    on_disk = set(find_versions(paths.serving).versions)
    labels = _labels(model, file, control, notes)
    states, reachable = _states(model, control, notes)
    if reachable:
        notes += _contradictions(model, labels, control)
    figures = _figures(paths, notes)
    known = on_disk | states.keys() | set(labels.values())
    return Versions(
        model=model,
        server=control.target,
        reachable=reachable,
        versions=[
            Version(
                version=version,
                on_disk=version in on_disk,
                state=status.state.name if (status := states.get(version)) else None,
                error=status.error.message if status and status.error else None,
                labels=sorted(label for label, v in labels.items() if v == version),
                figures=figures.get(version),
            )
            for version in sorted(known, reverse=True)
        ],
        notes=notes,
    )


def _labels(
    model: str, file: Path, control: ServerControl, notes: list[str]
) -> dict[str, int]:
    if not file.exists():
        notes.append(f"{file} isn't there, so no labels are known")
        return {}
    try:
        return Rollout(ModelConfigFile(file), model, control).labels()
    except (RolloutError, ServingError) as error:
        notes.append(getattr(error, "message", str(error)))
        return {}


def _states(
    model: str, control: ServerControl, notes: list[str]
) -> tuple[dict[int, VersionStatus], bool]:
    try:
        states = control.states(model)
    except ServingError as error:
        notes.append(error.message)
        return {}, False
    if not states:
        notes.append(f"the server has no model {model}")
    return states, True


def _contradictions(
    model: str, labels: dict[str, int], control: ServerControl
) -> list[str]:
    """Labels that lead elsewhere than the file says."""
    notes = []
    for label, version in sorted(labels.items()):
        try:
            found = control.labelled(model, label)
        except ServingError as error:
            notes.append(
                f"label {label}: the server doesn't tell its version: {error.message}"
            )
            continue
        if found != version:
            answer = "no version" if found is None else f"version {found}"
            notes.append(
                f"label {label}: the file says version {version}, the server answers"
                f" with {answer}"
            )
    return notes


def _figures(paths: RunPaths, notes: list[str]) -> dict[int, ModelFigures]:
    try:
        pushed = Results(paths).pushed()
    except FileNotFoundError as error:
        notes.append(str(error))
        return {}
    found = {}
    for version, origin in pushed.items():
        try:
            found[version] = read_report(origin.report).slices[0].models[CANDIDATE]
        except (OSError, ValueError):
            notes.append(
                f"version {version}: its report in {origin.report} can't be read"
            )
    return found

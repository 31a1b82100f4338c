"""How versions that were pushed do on rows that have come since."""

from __future__ import annotations

import tempfile
from pathlib import Path

import apache_beam as beam
from pydantic import ValidationError
from rich.console import Console

from midpg_tf.spec import SPLITS, DatasetSpec, HashSplit
from midpg_tf.spec.section import is_remote
from pipeline.evaluation.basis import Basis
from pipeline.evaluation.gates import CANDIDATE, GateReport, judge
from pipeline.evaluation.scoring import read_rows, score_version
from pipeline.paths import RunPaths
from pipeline.records import Record
from pipeline.results import Results
from serving.model_config_file import ModelConfigFile
from serving.rollout import STABLE, stable_version
from serving.versions import find_versions
from transform.checks import check_rows
from transform.ingest import ingest
from transform.runner import IN_PROCESS
from transform.sources import check_files
from transform.summary import read_summary, write_summary


class Evaluation(Record):
    """Versions on the same rows.

    Attributes:
        version: The version that is judged, the report's `candidate`.
        against: The one that it is compared with, in the report `version N`; None for
            none.
        report: The figures, and the bounds of the data-set file that don't hold.
    """

    version: int
    against: int | None
    report: GateReport


def evaluate_version(
    spec: DatasetSpec,
    paths: RunPaths,
    rows: str,
    console: Console,
    *,
    version: int | None = None,
    against: int | None = None,
    models_file: Path | None = None,
    model_name: str | None = None,
) -> Evaluation:
    """Scores rows of which the label is known by now, and applies the gates to them.

    Rows that a version was trained on make it look better than it is; nothing here can
    tell. The report's notes say which version isn't known to be one for their label,
    and why the newest is judged where none is stable.

    Args:
        spec: The data-set description.
        paths: Where its runs keep their files.
        rows: A file, or a pattern of files, as `data.path` has them.
        console: For progress.
        version: The version to judge. Default: the one in production, which is
            `stable` in the server's model configuration file, or else the newest.
        against: A version to compare it with.
        models_file: The server's model configuration file. Default: that in the folder.
        model_name: Name of the model in it. Default: the data set's.

    Raises:
        FileNotFoundError: The model configuration file that was named isn't there.
        LookupError: There is no version, or not the one that was asked for; or the
            model configuration file hasn't the model, and one of both was named.
        IngestError: Rows are in error, or there are none.
        ValueError: There are too few rows of a class, or a version can't score them, or
            was trained for another label or weight.
        ServingError: The model configuration file can't be read, or is illegal.
    """
    notes: list[str] = []
    if version is None:
        version = _stable(spec, paths, models_file, model_name, notes)
    chosen = _on_disk(paths, version)
    other = None if against is None else _on_disk(paths, against)
    notes += _check_basis(spec, paths, {chosen, *filter(None, [other])})
    source = _unsplit(spec, rows)
    files = check_files(source, path_key="--rows")
    with tempfile.TemporaryDirectory() as temporary:
        with console.status("reading rows"):
            with beam.Pipeline(runner=IN_PROCESS) as pipeline:
                ingested = ingest(pipeline, source, files)
                _ = ingested.summary | "Summary" >> beam.Map(write_summary, temporary)
                for split in SPLITS:
                    _ = ingested.splits[split] | split >> beam.io.WriteToTFRecord(
                        f"{temporary}/{split}", file_name_suffix=".gz"
                    )
            check_rows(read_summary(temporary))
        columns, examples = read_rows(
            [f"{temporary}/*.gz"], source, spec.gates.resample_by
        )
    numbers = {CANDIDATE: chosen} | ({f"version {other}": other} if other else {})
    scores = {}
    for name, number in numbers.items():
        folder = paths.serving / str(number)
        with console.status(f"{len(examples):,} rows by version {number}"):
            try:
                scores[name] = score_version(folder, examples, spec, "the model")
            except ValueError as error:
                raise ValueError(f"{folder}: {error}") from error
    with console.status(f"intervals of {len(columns.by_scenario()):,} scenarios"):
        report = judge(
            spec.gates,
            columns,
            scores,
            seed=spec.training.seed,
            what=f"rows of {rows}",
            names={CANDIDATE: f"version {chosen}"},
        )
    report = report.model_copy(update={"notes": notes})
    return Evaluation(version=chosen, against=other, report=report)


def _stable(
    spec: DatasetSpec,
    paths: RunPaths,
    models_file: Path | None,
    model_name: str | None,
    notes: list[str],
) -> int | None:
    """The version that is stable; None, and a note that says why, for the newest."""
    file = ModelConfigFile(models_file or paths.models_config)
    model = model_name or spec.name
    version, lack = None, f"{file.path} isn't there"
    if file.path.exists():
        models = [entry.name for entry in file.read().model_config_list.config]
        if model not in models and (models_file or model_name):
            raise LookupError(
                f"{file.path}: expected the model {model}, found"
                f" {', '.join(models) or 'none'}; correct --model_name or --config"
            )
        version = stable_version(file, model)
        on_disk = find_versions(paths.serving).versions
        if version is not None and on_disk and version not in on_disk:
            known = ", ".join(map(str, sorted(on_disk)))
            raise LookupError(
                f"{STABLE} in {file.path} is version {version}, which isn't in"
                f" {paths.serving}; found {known}: promote one of these, or name it by"
                " --version"
            )
        lack = f"model {model} of {file.path} has none"
        if model not in models:
            lack = f"{file.path} has no model {model}"
    elif models_file:
        raise FileNotFoundError(
            f"{file.path}: expected the server's model configuration file, found none;"
            " correct --config, or name the version by --version"
        )
    if version is None:
        notes.append(
            f"the newest version is judged, since none is known to be {STABLE}: {lack}"
        )
    return version


def _on_disk(paths: RunPaths, version: int | None) -> int:
    """The version, or the newest one, if it is there."""
    found = find_versions(paths.serving)
    if not found.versions:
        raise LookupError(found.problem)
    if version is None:
        return max(found.versions)
    if version not in found.versions:
        known = ", ".join(map(str, sorted(found.versions)))
        raise LookupError(f"{paths.serving}: expected version {version}, found {known}")
    return version


def _check_basis(spec: DatasetSpec, paths: RunPaths, versions: set[int]) -> list[str]:
    """Notes of the versions of which it isn't known what they were trained for.

    Raises:
        ValueError: One was trained for another label or weight.
    """
    try:
        pushed = Results(paths).pushed()
    except FileNotFoundError:
        pushed = {}
    notes = []
    for version in sorted(versions):
        unknown = "it isn't known for which label and weight it was trained"
        if version not in pushed:
            notes.append(f"version {version} isn't from these runs, so that {unknown}")
            continue
        try:
            basis = Basis.from_json(pushed[version].basis)
        except ValidationError:
            notes.append(
                f"version {version} has no note that can be read of what it was trained"
                f" for, so that {unknown}"
            )
            continue
        if misses := "; ".join(basis.misses(spec.label, spec.weight)):
            raise ValueError(
                f"{paths.serving / str(version)}: expected a version for the label and"
                f" the weight of the data-set file, found that {misses}; judge it by"
                " the data-set file that it was trained with"
            )
    return notes


def _unsplit(spec: DatasetSpec, rows: str) -> DatasetSpec:
    """The description of other rows, which needn't have what splits the data set's."""
    path = rows if is_remote(rows) else str(Path(rows).absolute())
    update = {"path": path, "split": HashSplit(by="hash")}
    return spec.model_copy(update={"data": spec.data.model_copy(update=update)})

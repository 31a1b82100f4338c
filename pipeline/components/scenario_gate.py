"""The gates over the candidate: against the baseline and the model in production."""

# No `from __future__ import annotations`: TFX reads the annotations of components.

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from tfx.components.evaluator import constants
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import (
    Examples,
    Model,
    ModelBlessing,
    ModelEvaluation,
    PushedModel,
)
from tfx.utils import path_utils

from midpg_tf.spec import DatasetSpec, Gates
from pipeline.components.production import readable_stable
from pipeline.components.pusher import BASIS_KEY, ROWS_KEY, VERSION_KEY
from pipeline.evaluation.basis import Basis
from pipeline.evaluation.gates import (
    BASELINE,
    CALIBRATION,
    CANDIDATE,
    PRODUCTION,
    judge,
)
from pipeline.evaluation.scoring import (
    check_numbers,
    read_rows,
    score,
    score_version,
)
from serving.rollout import STABLE
from serving.versions import find_versions
from transform.summary import Summary, read_summary

log = logging.getLogger("midpg.gates")

REPORT_FILE = "gates.json"


@component
def ScenarioGate(  # noqa: N802
    candidate: InputArtifact[Model],
    baseline: InputArtifact[Model],
    examples: InputArtifact[Examples],
    blessing: OutputArtifact[ModelBlessing],
    report: OutputArtifact[ModelEvaluation],
    serving: Parameter[str],
    spec: Parameter[str],
    gates: Parameter[str],
    seed: Parameter[int],
    models_file: Parameter[str],
    model_name: Parameter[str],
    production: InputArtifact[Model] = None,
    pushed: InputArtifact[PushedModel] = None,
) -> None:
    """Scores the test split with all models, and blesses the candidate or doesn't.

    A model in production that can't be compared, since it can't score the rows, or was
    trained for another label or maybe on these rows, is told in the report's notes and
    judges nothing.

    Args:
        candidate: The new model.
        baseline: The model that was trained beside it.
        examples: Raw examples with a test split, and their summary.
        blessing: Whether the candidate may be pushed, with the notes of its basis and
            its rows.
        report: The figures and the refusals: a `GateReport` as `gates.json`.
        serving: Where versions are pushed.
        spec: The data-set description as JSON.
        gates: The bounds as JSON.
        seed: Of the bootstrap.
        models_file: The server's model configuration file; it may be missing.
        model_name: Name of the model in it.
        production: The model in production, if these runs have pushed it.
        pushed: Its push. What is scored is the version that is served: it is there
            when the artifacts of old runs have been deleted.
    """
    description = DatasetSpec.from_json(spec)
    folder = artifact_utils.get_split_uri([examples], "test")
    bounds = Gates.model_validate_json(gates)
    files = [str(Path(folder) / "*")]
    rows, serialized = read_rows(files, description, bounds.resample_by)
    scores = {
        name: score(path_utils.serving_model_path(model.uri), serialized)
        for name, model in ((CANDIDATE, candidate), (BASELINE, baseline))
    }
    # A candidate's that are none are refused by the gates.
    check_numbers("baseline", scores[BASELINE])
    summary = read_summary(examples.uri)
    basis = Basis.of(description, summary)
    blessing.set_string_custom_property(BASIS_KEY, basis.to_json())
    # The splits that trainers see.
    contents = {split: summary.contents[split] for split in ("train", "eval")}
    blessing.set_string_custom_property(ROWS_KEY, json.dumps(contents))
    notes: list[str] = []
    if production is None:
        stable = readable_stable(models_file, model_name)
        notes += _nothing_in_production(serving, stable, models_file)
    elif production.id == candidate.id:
        notes.append("the candidate is the model in production")
    else:
        served = Path(serving) / pushed.get_string_custom_property(VERSION_KEY)
        try:
            _check_basis(pushed, basis)
            scores[PRODUCTION] = score_version(
                served, serialized, description, "model in production"
            )
        except ValueError as reason:
            # A model that can't be evaluated any more must not block all that follow.
            notes.append(
                f"no comparison with the model in production, {served}: {reason}"
            )
    judged = judge(bounds, rows, scores, seed=seed)
    if any(refusal.gate == CALIBRATION for refusal in judged.refusals):
        notes.append(_conversions(summary))
    judged = judged.model_copy(update={"notes": notes})
    Path(report.uri).mkdir(parents=True, exist_ok=True)
    (Path(report.uri) / REPORT_FILE).write_text(
        judged.model_dump_json(indent=2), "utf-8"
    )
    for note in notes:
        log.warning("%s", note)
    for refusal in judged.refusals:
        log.error("refused: %s", refusal)
    # By the names of the stock Evaluator's, since TFX's Pusher reads the first one.
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(judged.blessed)
    )
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, candidate.id
    )
    if production is not None:
        blessing.set_int_custom_property(
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, production.id
        )


def _nothing_in_production(
    serving: str, stable: int | None, models_file: str
) -> Iterator[str]:
    """Why none of the versions that are there is compared with."""
    versions = find_versions(serving).versions
    if stable in versions:
        yield (
            f"no comparison with a model in production: version {stable}, {STABLE} in"
            f" {models_file}, isn't from these runs, and nothing is known of what it"
            " was trained on; to have candidates compared again, promote a version that"
            " is from these runs"
        )
    elif versions:
        yield (
            "no comparison with a model in production: none of the versions in"
            f" {serving}, of which {max(versions)} is the newest, is from these runs"
        )


def _check_basis(pushed: PushedModel, basis: Basis) -> None:
    """Raises ValueError if the label is another, or rows may be known.

    Where a push has no note of its basis, nothing is known against it.
    """
    noted = pushed.get_string_custom_property(BASIS_KEY)
    if not noted:
        return
    try:
        earlier = Basis.from_json(noted)
    except ValidationError:
        raise ValueError("its note of what it was trained for can't be read") from None
    if obstacles := "; ".join(basis.obstacles(earlier)):
        raise ValueError(obstacles)


def _conversions(summary: Summary) -> str:
    train, test = (
        f"{summary.rows(split, label=1) / summary.rows(split):.2%} of all {split} rows"
        for split in ("train", "test")
    )
    return f"the label is 1 in {train}, and in {test}"

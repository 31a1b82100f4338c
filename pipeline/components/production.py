"""The model in production, which a candidate would replace."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from ml_metadata.metadata_store import metadata_store
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types.artifact import Artifact

from pipeline.components.pusher import MODEL_ID_KEY, PUSHED_KEY, VERSION_KEY
from serving.errors import ServingError
from serving.model_config_file import ModelConfigFile
from serving.rollout import STABLE, stable_version
from serving.versions import find_versions

log = logging.getLogger("midpg.production")


def readable_stable(models_file: str, model_name: str) -> int | None:
    """The version that is stable; None if none is, or the file can't be read.

    Args:
        models_file: The server's model configuration file; it may be missing.
        model_name: Name of the model in it.
    """
    with contextlib.suppress(ServingError):
        return stable_version(ModelConfigFile(Path(models_file)), model_name)
    return None


class PushedModelStrategy(ResolverStrategy):
    """Finds the model that is `stable`, or else the one that was pushed last.

    `LatestBlessedModelStrategy` would also find one that passed the gates but was
    never pushed, since it couldn't be served, or the push failed. Later candidates
    would then be compared with a model that nobody uses. Nor is a version in production
    whose folder somebody has taken away, or only half of it: no server loads one
    without `saved_model.pb`.

    If `stable` is a version of elsewhere, none is found: nobody knows what it was
    trained on, and no other one serves.

    The resolver's inputs are `model` and `pushed`, with channels of all models and of
    all pushed models.

    Args:
        serving_dir: Where versions are pushed now. Where it was at the time of a push
            doesn't count: folders are moved, and mounted elsewhere.
        models_file: The server's model configuration file; it may be missing.
        model_name: Name of the model in it.
    """

    def __init__(self, serving_dir: str, models_file: str, model_name: str) -> None:
        self._serving_dir = serving_dir
        self._models_file = Path(models_file)
        self._model_name = model_name

    def resolve_artifacts(
        self,
        store: metadata_store.MetadataStore,
        input_dict: dict[str, list[Artifact]],
    ) -> dict[str, list[Artifact]]:
        del store
        models = {model.id: model for model in input_dict["model"]}
        complete = find_versions(self._serving_dir).versions
        found: dict[int, dict[str, list[Artifact]]] = {}
        for pushed in sorted(input_dict["pushed"], key=lambda p: p.id, reverse=True):
            model = models.get(pushed.get_int_custom_property(MODEL_ID_KEY))
            if not pushed.get_int_custom_property(PUSHED_KEY) or model is None:
                continue
            version = int(pushed.get_string_custom_property(VERSION_KEY))
            if version in complete:
                found[version] = {"model": [model], "pushed": [pushed]}
            elif not found:
                log.warning(
                    "%s/%d is gone, or has no saved_model.pb, and so is in production"
                    " no more",
                    self._serving_dir,
                    version,
                )
        none: dict[str, list[Artifact]] = {"model": [], "pushed": []}
        if not found:
            return none
        stable, file = self._stable(), self._models_file
        if stable in found:
            log.info("production: version %d, %s in %s", stable, STABLE, file)
            return found[stable]
        if stable in complete:
            return none  # which the gate tells
        newest = next(iter(found))
        log.info(
            "production: version %d, which was pushed last; %s of model %s in %s: %s",
            newest,
            STABLE,
            self._model_name,
            file,
            "none" if stable is None else f"{stable}, which isn't there",
        )
        return found[newest]

    def _stable(self) -> int | None:
        try:
            return stable_version(ModelConfigFile(self._models_file), self._model_name)
        except ServingError as error:
            log.warning("no label %s is known: %s", STABLE, error.message)
            return None

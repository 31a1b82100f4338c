"""The model in production, which a candidate would replace."""

from __future__ import annotations

import logging
from pathlib import Path

from ml_metadata.metadata_store import metadata_store
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types.artifact import Artifact

from pipeline.components.pusher import DESTINATION_KEY, MODEL_ID_KEY, PUSHED_KEY

log = logging.getLogger("midpg.production")


class LatestPushedModelStrategy(ResolverStrategy):
    """Finds the model that was pushed last.

    `LatestBlessedModelStrategy` would also find one that passed the gates but was
    never pushed, since it couldn't be served, or the push failed. Later candidates
    would then be compared with a model that nobody uses. Nor is a version in production
    whose folder somebody has taken away.

    The resolver's inputs are `model` and `pushed`, with channels of all models and of
    all pushed models.
    """

    def resolve_artifacts(
        self,
        store: metadata_store.MetadataStore,
        input_dict: dict[str, list[Artifact]],
    ) -> dict[str, list[Artifact]]:
        del store
        models = {model.id: model for model in input_dict["model"]}
        for pushed in sorted(input_dict["pushed"], key=lambda p: p.id, reverse=True):
            model = models.get(pushed.get_int_custom_property(MODEL_ID_KEY))
            if not pushed.get_int_custom_property(PUSHED_KEY) or model is None:
                continue
            folder = pushed.get_string_custom_property(DESTINATION_KEY)
            if Path(folder).exists():
                return {"model": [model], "pushed": [pushed]}
            log.warning("%s is gone, and so is in production no more", folder)
        return {"model": [], "pushed": []}

"""The model in production, which a candidate would replace."""

from __future__ import annotations

from ml_metadata.metadata_store import metadata_store
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types.artifact import Artifact

from pipeline.components.pusher import MODEL_ID_KEY, PUSHED_KEY


class LatestPushedModelStrategy(ResolverStrategy):
    """Finds the model that was pushed last.

    `LatestBlessedModelStrategy` would also find one that passed the gates but was
    never pushed, since it couldn't be served, or the push failed. Later candidates
    would then be compared with a model that nobody uses.

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
            if pushed.get_int_custom_property(PUSHED_KEY) and model is not None:
                return {"model": [model], "pushed": [pushed]}
        return {"model": [], "pushed": []}

"""Models by the name that a data-set file gives them."""

from __future__ import annotations

from typing import Any, get_type_hints

from midpg_tf.models.midpg import MIDPG
from midpg_tf.models.mlp import MLP
from midpg_tf.models.ranking import RankingModel

MODELS: dict[str, type[RankingModel]] = {"midpg": MIDPG, "mlp": MLP}

_NOT_SETTINGS = {"features", "scenario", "kwargs", "return"}


def hyperparameters(name: str) -> dict[str, Any]:
    """The constructor's arguments that a data-set file may set, with their types."""
    classes = [c for c in MODELS[name].__mro__ if issubclass(c, RankingModel)]
    types = {k: v for c in classes for k, v in get_type_hints(c.__init__).items()}
    return {key: hint for key, hint in types.items() if key not in _NOT_SETTINGS}

"""Models by the name that a data-set file gives them."""

from __future__ import annotations

import inspect

from midpg_tf.models.midpg import MIDPG
from midpg_tf.models.mlp import MLP
from midpg_tf.models.ranking import RankingModel

MODELS: dict[str, type[RankingModel]] = {"midpg": MIDPG, "mlp": MLP}

_NOT_SETTINGS = {"self", "features", "scenario", "kwargs"}


def hyperparameters(name: str) -> frozenset[str]:
    """Names of the constructor's arguments that a data-set file may set."""
    classes = [c for c in MODELS[name].__mro__ if issubclass(c, RankingModel)]
    names = {arg for c in classes for arg in inspect.signature(c.__init__).parameters}
    return frozenset(names - _NOT_SETTINGS)

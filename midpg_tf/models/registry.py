"""Models by the name that a data-set file gives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from midpg_tf.models.adasparse import AdaSparse
from midpg_tf.models.apg import APG
from midpg_tf.models.epnet import EPNet
from midpg_tf.models.hamur import HAMUR
from midpg_tf.models.m2m import M2M
from midpg_tf.models.midpg import MIDPG
from midpg_tf.models.mlp import MLP
from midpg_tf.models.mmoe import MMoE
from midpg_tf.models.ple import PLE
from midpg_tf.models.ppnet import PPNet
from midpg_tf.models.ranking import RankingModel
from midpg_tf.models.sar_net import SARNet
from midpg_tf.models.scenario_mlp import ScenarioMLP
from midpg_tf.models.shared_bottom import SharedBottom
from midpg_tf.models.star import STAR

MODELS: dict[str, type[RankingModel]] = {
    "adasparse": AdaSparse,
    "apg": APG,
    "epnet": EPNet,
    "hamur": HAMUR,
    "m2m": M2M,
    "midpg": MIDPG,
    "mlp": MLP,
    "mmoe": MMoE,
    "ple": PLE,
    "ppnet": PPNet,
    "sar_net": SARNet,
    "scenario_mlp": ScenarioMLP,
    "shared_bottom": SharedBottom,
    "star": STAR,
}

_NOT_SETTINGS = {"features", "scenario", "kwargs", "return"}


def hyperparameters(name: str) -> dict[str, Any]:
    """The constructor's arguments that a data-set file may set, with their types."""
    return _arguments(MODELS[name])


def defaults(name: str) -> dict[str, Any]:
    """The defaults of the same arguments."""
    found: dict[str, Any] = {}
    for one in reversed(_constructors(MODELS[name])):
        parameters = inspect.signature(one).parameters
        found |= {key: each.default for key, each in parameters.items()}
    return {key: found[key] for key in hyperparameters(name)}


def shared_hyperparameters() -> dict[str, Any]:
    """Those that mean the same in every model: `RankingModel`'s own."""
    return _arguments(RankingModel)


def _arguments(model: type[RankingModel]) -> dict[str, Any]:
    hints = [get_type_hints(one) for one in _constructors(model)]
    types = {key: hint for one in hints for key, hint in one.items()}
    return {key: hint for key, hint in types.items() if key not in _NOT_SETTINGS}


def _constructors(model: type[RankingModel]) -> list[Callable[..., None]]:
    """The model's own, then those of its bases, which it passes its arguments to."""
    return [c.__init__ for c in model.__mro__ if issubclass(c, RankingModel)]

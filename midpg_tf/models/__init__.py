"""Models for many scenarios, and the baseline."""

from midpg_tf.layers.inputs import CategoricalInput, NumericInput
from midpg_tf.models.midpg import MIDPG
from midpg_tf.models.mlp import MLP
from midpg_tf.models.ranking import RankingModel
from midpg_tf.models.registry import MODELS, hyperparameters

__all__ = [
    "MIDPG",
    "MLP",
    "MODELS",
    "CategoricalInput",
    "NumericInput",
    "RankingModel",
    "hyperparameters",
]

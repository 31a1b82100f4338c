"""Keras layers of multi-scenario models."""

from midpg_tf.layers.feature_embedding import FeatureEmbedding
from midpg_tf.layers.inputs import CategoricalInput, Input, NumericInput
from midpg_tf.layers.modulated_dense import ModulatedDense
from midpg_tf.layers.scenario_dropout import ScenarioDropout
from midpg_tf.layers.scenario_groups import ScenarioGroups, group_by_scenario
from midpg_tf.layers.scenario_index import ScenarioIndex
from midpg_tf.layers.weighting_matrix import WeightingMatrix

__all__ = [
    "CategoricalInput",
    "FeatureEmbedding",
    "Input",
    "ModulatedDense",
    "NumericInput",
    "ScenarioDropout",
    "ScenarioGroups",
    "ScenarioIndex",
    "WeightingMatrix",
    "group_by_scenario",
]

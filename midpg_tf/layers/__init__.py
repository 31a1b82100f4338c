"""Keras layers of multi-scenario models."""

from midpg_tf.layers.adapter import Adapter
from midpg_tf.layers.building import build_layer
from midpg_tf.layers.dense_bank import DenseBank
from midpg_tf.layers.dropout import Dropout
from midpg_tf.layers.feature_embedding import FeatureEmbedding
from midpg_tf.layers.gate import GateUnit
from midpg_tf.layers.inputs import (
    CategoricalInput,
    FeatureInput,
    NumericInput,
    scenario_fields,
    select,
)
from midpg_tf.layers.low_rank_dense import LowRankDense
from midpg_tf.layers.meta_unit import MetaUnit
from midpg_tf.layers.modulated_dense import ModulatedDense
from midpg_tf.layers.neuron_pruner import NeuronPruner
from midpg_tf.layers.partitioned_normalization import PartitionedNormalization
from midpg_tf.layers.scenario_affine import ScenarioAffine
from midpg_tf.layers.scenario_dropout import ScenarioDropout
from midpg_tf.layers.scenario_embedding import ScenarioEmbedding
from midpg_tf.layers.scenario_groups import ScenarioGroups, group_by_scenario
from midpg_tf.layers.scenario_index import ScenarioIndex
from midpg_tf.layers.star_dense import StarDense
from midpg_tf.layers.trained_scenarios import TrainedScenarios
from midpg_tf.layers.weighting_matrix import WeightingMatrix, Weights

__all__ = [
    "Adapter",
    "CategoricalInput",
    "DenseBank",
    "Dropout",
    "FeatureEmbedding",
    "FeatureInput",
    "GateUnit",
    "LowRankDense",
    "MetaUnit",
    "ModulatedDense",
    "NeuronPruner",
    "NumericInput",
    "PartitionedNormalization",
    "ScenarioAffine",
    "ScenarioDropout",
    "ScenarioEmbedding",
    "ScenarioGroups",
    "ScenarioIndex",
    "StarDense",
    "TrainedScenarios",
    "WeightingMatrix",
    "Weights",
    "build_layer",
    "group_by_scenario",
    "scenario_fields",
    "select",
]

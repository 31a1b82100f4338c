"""A multilayer perceptron for each scenario, over shared embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.scenario_groups import group_by_scenario
from midpg_tf.models.banked import BankedModel
from midpg_tf.models.stack import build_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioMLP(BankedModel):
    """Each scenario has hidden layers and an output layer of its own.

    Only the embeddings and cross layers are shared. This bounds what separation of
    scenarios can give, and shows what it costs where a scenario has few rows. Rows
    meet their own scenario's layers only. An unknown scenario has layers too, which
    scenario dropout trains; they also score scenarios without training rows.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        **kwargs: The other arguments of `RankingModel`.

    References:
        The "one model per domain" that Sheng et al., "One Model to Serve All: Star
        Topology Adaptive Recommender for Multi-Domain CTR Prediction", CIKM 2021,
        Figure 2 (b), start from; there the embeddings are separate too.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = ScenarioMLP([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self, features: Sequence[FeatureInput], scenario: Sequence[str], **kwargs: Any
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        self.denses = [self.scenario_bank(units) for units in self.hidden]
        self.head = self.scenario_output()
        self.build()

    def build_tower(self, width: int) -> None:
        build_stack([*self.denses, self.head], width)

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        groups = group_by_scenario(scenario)
        logits = self.run_own(self.denses, self.dropouts, embedded, groups, training)
        return logits, None

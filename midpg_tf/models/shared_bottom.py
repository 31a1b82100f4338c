"""Shared bottom: common hidden layers, then a tower for each scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.scenario_groups import group_by_scenario
from midpg_tf.models.banked import BankedModel
from midpg_tf.models.stack import build_stack, run_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class SharedBottom(BankedModel):
    """All hidden layers but the last are shared; the rest is each scenario's own.

    The last hidden layer and the output layer are a scenario's tower. Rows meet their
    own scenario's tower only. An unknown scenario has a tower too, which scenario
    dropout trains; it also scores scenarios without training rows.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        **kwargs: The other arguments of `RankingModel`.

    References:
        Caruana, "Multitask Learning", Machine Learning 28, 1997; in the form that Ma
        et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
        Mixture-of-Experts", KDD 2018, call the shared-bottom model: y_k = h_k(f(x)).
        Here the tasks are the scenarios, and a row belongs to one of them.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = SharedBottom([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self, features: Sequence[FeatureInput], scenario: Sequence[str], **kwargs: Any
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        self.denses = [self.dense(units) for units in self.hidden[:-1]]
        self.towers = [self.scenario_bank(units) for units in self.hidden[-1:]]
        self.head = self.scenario_output()
        self.build()

    def build_tower(self, width: int) -> None:
        build_stack([*self.denses, *self.towers, self.head], width)

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        shared = len(self.denses)
        rows = run_stack(self.denses, self.dropouts[:shared], embedded, training)
        groups = group_by_scenario(scenario)
        dropouts = self.dropouts[shared:]
        return self.run_own(self.towers, dropouts, rows, groups, training), None

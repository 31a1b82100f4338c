"""MMoE: shared experts, mixed by a gate of each scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import whole
from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.scenario_groups import group_by_scenario
from midpg_tf.models.banked import BankedModel, mix
from midpg_tf.models.stack import build_stack, run_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class MMoE(BankedModel):
    """Multi-gate mixture of experts, with the scenarios as the tasks.

        y_s = h_s(sum_i g_s(x)_i f_i(x)),    g_s(x) = softmax(x W_s + c_s)

    The experts f_i have the widths of all hidden layers but the last (of the only one,
    if there is one); the last hidden layer and the output layer are the scenario's
    tower h_s. A row meets every expert, but only its own scenario's gate and tower. An
    unknown scenario has a gate and a tower too, which scenario dropout trains; they
    also score scenarios without training rows.

    The paper's gates have no bias c_s, and its tasks share every row.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        experts: Number of experts. Default 4.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If there is no hidden layer, or no expert.

    References:
        Ma, Zhao, Yi, Chen, Hong, Chi, "Modeling Task Relationships in Multi-task
        Learning with Multi-gate Mixture-of-Experts", KDD 2018, section on multi-gate
        mixture-of-experts.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = MMoE([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        experts: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        whole(1, experts=experts)
        self.check_hidden()
        self.experts = experts
        cut = max(1, len(self.hidden) - 1)
        self.denses = [self.bank(experts, units) for units in self.hidden[:cut]]
        self.gate = self.scenario_bank(experts, "softmax")
        self.towers = [self.scenario_bank(units) for units in self.hidden[cut:]]
        self.head = self.scenario_output()
        self.build()

    def build_tower(self, width: int) -> None:
        build_layer(self.gate, (None, None, width))
        build_stack([*self.denses, *self.towers, self.head], width)

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        cut = len(self.denses)
        rows = embedded[tf.newaxis]
        experts = run_stack(self.denses, self.dropouts[:cut], rows, training)

        groups = group_by_scenario(scenario)
        gates = self.gate(groups.split(embedded), groups.tile_scenario)
        mixed = mix(groups.join(gates), tf.unstack(experts, self.experts))
        dropouts = self.dropouts[cut:]
        return self.run_own(self.towers, dropouts, mixed, groups, training), None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"experts": self.experts}

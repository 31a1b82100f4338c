"""SAR-Net: features transformed by scenario, then shared and specific experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import whole
from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.scenario_affine import ScenarioAffine
from midpg_tf.layers.scenario_groups import group_by_scenario
from midpg_tf.models.banked import BankedModel, mix
from midpg_tf.models.stack import build_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class SARNet(BankedModel):
    """A scenario-aware ranking network, for rows without sequences of behaviour.

        x' = x * a_s + b_s
        logit = (sum_i g_s(x')_i f_i(x')) w + b,    g_s(x') = softmax(x' W_s + c_s)

    The experts f_i are shared ones and the scenario's own, each with all the hidden
    layers; they are fused by the scenario's gate, and an output layer follows that
    scenarios share. A row meets only its own scenario's transformation, gate and
    specific experts. An unknown scenario has these too, which scenario dropout trains;
    they also score scenarios without training rows.

    Left out of the paper are both attention modules, since they read sequences of
    behaviour, and the fairness coefficient that reweighs the experts' predictions,
    since it is made of logs of manual intervention: what is left of a debias expert is
    the expert. The output layer's place is ours.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        shared_experts: Number of shared experts. Default 3.
        specific_experts: Number of a scenario's own experts. Default 1.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If there is no hidden layer, no shared expert, or a negative number
            of specific ones.

    References:
        Shen, Tao, Zhang, Wen, Chen, Lu, "SAR-Net: A Scenario-Aware Ranking Network for
        Personalized Fair Recommendation in Hundreds of Travel Scenarios", CIKM 2021:
        the scenario-specific linear transformation, the scenario-specific and
        scenario-shared debias experts, and the multi-scenario gating module.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = SARNet([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        shared_experts: int = 3,
        specific_experts: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        whole(1, shared_experts=shared_experts)
        whole(0, specific_experts=specific_experts)
        self.check_hidden()
        self.shared_experts = shared_experts
        self.specific_experts = specific_experts

        self.transform = ScenarioAffine(self.scenario_index.size)
        self.shared = [self.bank(shared_experts, units) for units in self.hidden]
        self.specific = [
            self.scenario_bank(units, each=specific_experts)
            for units in self.hidden
            if specific_experts
        ]
        self.gate = self.scenario_bank(shared_experts + specific_experts, "softmax")
        self.head = self.output_layer()
        self.build()

    def build_tower(self, width: int) -> None:
        build_layer(self.transform, (None, width))
        build_layer(self.gate, (None, None, width))
        build_stack(self.specific, width)
        build_stack([*self.shared, self.head], width)

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        rows = self.transform(embedded, scenario)
        groups = group_by_scenario(scenario)
        tiles = groups.split(rows)  # (tiles, rows, width)
        outputs = self.run_experts(
            self.shared, self.specific, self.dropouts, rows, tiles, groups, training
        )
        gates = self.gate(tiles, groups.tile_scenario)
        return self.head(mix(groups.join(gates), outputs)), None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "shared_experts": self.shared_experts,
            "specific_experts": self.specific_experts,
        }

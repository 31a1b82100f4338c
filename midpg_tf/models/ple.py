"""PLE: shared experts and each scenario's own, mixed level by level."""

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
from midpg_tf.models.stack import build_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class PLE(BankedModel):
    """Progressive layered extraction, with the scenarios as the tasks.

    With one level this is customized gate control (CGC): a scenario's gate mixes the
    shared experts with the scenario's own, and a tower follows. With more levels the
    mixture goes into the next level's specific experts, and a second one, by a gate
    that scenarios share, into its shared experts.

    All hidden layers but the last (the only one, if there is one) are the experts':
    each level but the last takes one of them, the last level the rest. The last hidden
    layer and the output layer are the scenario's tower. An unknown scenario has all of
    these too, which scenario dropout trains; they also score scenarios without
    training rows.

    In the paper the shared gate mixes the experts of all tasks, since its tasks share
    every row. Here a row has one scenario, so that gate mixes the shared experts and
    those of the row's scenario; no other scenario's experts are computed. The paper's
    gates have no bias.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        shared_experts: Number of shared experts a level. Default 3.
        specific_experts: Number of a scenario's own experts a level. Default 1.
        levels: Number of extraction levels. Default 1.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If there is no hidden layer for each level, no shared expert, or a
            negative number of specific ones.

    References:
        Tang, Liu, Zhao, Gong, "Progressive Layered Extraction (PLE): A Novel
        Multi-Task Learning (MTL) Model for Personalized Recommendations", RecSys 2020,
        sections on customized gate control and progressive layered extraction.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = PLE([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        shared_experts: int = 3,
        specific_experts: int = 1,
        levels: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        whole(1, shared_experts=shared_experts)
        whole(0, specific_experts=specific_experts)
        self.check_hidden()
        cut = max(1, len(self.hidden) - 1)
        whole(0, levels=levels)
        if not 1 <= levels <= cut:
            raise ValueError(
                "levels: expected from 1 to as many as the experts have hidden layers,"
                f" {cut}, found {levels}"
            )
        self.shared_experts = shared_experts
        self.specific_experts = specific_experts
        self.levels = levels
        # Which of the hidden layers each level has.
        self.spans = [(level, level + 1) for level in range(levels - 1)]
        self.spans += [(levels - 1, cut)]

        widths = self.hidden[:cut]
        self.shared = [self.bank(shared_experts, units) for units in widths]
        self.specific = [
            self.scenario_bank(units, each=specific_experts)
            for units in widths
            if specific_experts
        ]
        experts = shared_experts + specific_experts
        self.gates = [self.scenario_bank(experts, "softmax") for _ in range(levels)]
        self.shared_gates = [self.dense(experts, "softmax") for _ in range(levels - 1)]
        self.towers = [self.scenario_bank(units) for units in self.hidden[cut:]]
        self.head = self.scenario_output()
        self.build()

    def build_tower(self, width: int) -> None:
        for level, (start, stop) in enumerate(self.spans):
            build_layer(self.gates[level], (None, None, width))
            if level < self.levels - 1:
                build_layer(self.shared_gates[level], (None, width))
            build_stack(self.specific[start:stop], width)
            width = build_stack(self.shared[start:stop], width)
        build_stack([*self.towers, self.head], width)

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        groups = group_by_scenario(scenario)
        shared = own = embedded
        for level, (start, stop) in enumerate(self.spans):
            tiles = groups.split(own)  # (tiles, rows, width)
            outputs = self.run_experts(
                self.shared[start:stop],
                self.specific[start:stop],
                self.dropouts[start:stop],
                shared,
                tiles,
                groups,
                training,
            )
            gates = self.gates[level](tiles, groups.tile_scenario)
            own = mix(groups.join(gates), outputs)
            if level < self.levels - 1:
                shared = mix(self.shared_gates[level](shared), outputs)
        dropouts = self.dropouts[stop:]
        return self.run_own(self.towers, dropouts, own, groups, training), None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "shared_experts": self.shared_experts,
            "specific_experts": self.specific_experts,
            "levels": self.levels,
        }

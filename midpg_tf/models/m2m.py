"""M2M: attention over experts and a tower, with weights from scenario knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import whole
from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.meta_unit import MetaUnit
from midpg_tf.layers.scenario_embedding import ScenarioEmbedding
from midpg_tf.layers.scenario_groups import ScenarioGroups, group_by_scenario
from midpg_tf.models.banked import BankedModel
from midpg_tf.models.stack import build_stack, run_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class M2M(BankedModel):
    """Experts that meta units combine and refine, scenario by scenario.

    For the knowledge k_s = relu(z_s W + b) of a scenario with embedding z_s, and the
    experts' outputs E_i, each of a multilayer perceptron of the hidden widths:

        a   = softmax over i of (meta_a(E_i; k_s) v)
        L_0 = sum over i of a_i E_i
        L_j = leaky_relu(meta_j(L_(j - 1); k_s) + L_(j - 1))

    where a meta unit's kernel and bias come from k_s (see `MetaUnit`). The output
    layer scores the last L_j.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        experts: Number of experts. Default 4.
        tower_layers: Number of layers of the meta tower. Default 2.
        context: Width of the scenario's embedding. Default 8.
        knowledge: Width of the scenario's knowledge. Default 32.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If a size is not positive, or the number of layers negative.

    References:
        Zhang, Liao, Liu, Xu, Zheng, "Leaving No One Behind: A Multi-Scenario
        Multi-Task Meta Learning Approach for Advertiser Modeling", WSDM 2022: meta
        unit, meta attention module and meta tower module. Left out for rows with
        neither sequences nor advertisers: the transformer below the experts, and the
        advertiser's profile in the scenario's knowledge. There is one task, so the
        task's view, which would only add to the attention's generated bias, is left
        out, and the loss is the cross entropy instead of Poisson regression. A meta
        unit has one layer.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = M2M([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        experts: int = 4,
        tower_layers: int = 2,
        context: int = 8,
        knowledge: int = 32,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        whole(1, experts=experts, context=context, knowledge=knowledge)
        whole(0, tower_layers=tower_layers)
        self.experts = experts
        self.tower_layers = tower_layers
        self.context = context
        self.knowledge = knowledge
        self.scenario_embedding = ScenarioEmbedding(self.scenario_index.size, context)
        self.knowledge_dense = self.dense(knowledge)
        self.denses = [self.bank(experts, units) for units in self.hidden]
        self.attention = MetaUnit(self.kernel_initializer, self.regularizer())
        self.meta_tower = [
            MetaUnit(self.kernel_initializer, self.regularizer())
            for _ in range(tower_layers)
        ]
        self.attention_score = self.dense(1, None, use_bias=False)
        self.head = self.output_layer()
        self.build()

    def build_tower(self, width: int) -> None:
        build_layer(self.scenario_embedding)
        build_layer(self.knowledge_dense, (None, self.context))
        width = build_stack(self.denses, width)
        for unit in [self.attention, *self.meta_tower]:
            build_layer(unit, [(None, None, width), (None, self.knowledge)])
        for dense in (self.attention_score, self.head):
            build_layer(dense, (None, width))

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        rows = embedded[tf.newaxis]
        # (experts, batch, width), or (1, batch, width) without hidden layers
        views = run_stack(self.denses, self.dropouts, rows, training)
        groups = group_by_scenario(scenario)
        knowledge = self.knowledge_dense(self.scenario_embedding(groups.scenarios))
        row = self._attend(views, knowledge, groups)  # (tiles, rows, width)
        for unit in self.meta_tower:
            row = tf.nn.leaky_relu(unit([row, knowledge], groups.tile_group) + row)
        return groups.join(self.head(row)), None

    def _attend(
        self, views: tf.Tensor, knowledge: tf.Tensor, groups: ScenarioGroups
    ) -> tf.Tensor:
        experts, _, width = views.shape
        by_row = tf.reshape(tf.transpose(views, (1, 0, 2)), (-1, experts * width))
        tiled = groups.split(by_row)
        tiles, rows = tf.shape(tiled)[0], tf.shape(tiled)[1]
        flat = tf.reshape(tiled, (tiles, rows * experts, width))
        scores = self.attention_score(
            self.attention([flat, knowledge], groups.tile_group)
        )
        shares = tf.nn.softmax(tf.reshape(scores, (tiles, rows, experts, 1)), axis=2)
        views = tf.reshape(tiled, (tiles, rows, experts, width))
        return tf.reduce_sum(shares * views, axis=2)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "experts": self.experts,
            "tower_layers": self.tower_layers,
            "context": self.context,
            "knowledge": self.knowledge,
        }

"""STAR: a shared network, with every weight multiplied by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import all_whole, whole
from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.partitioned_normalization import PartitionedNormalization
from midpg_tf.layers.scenario_embedding import ScenarioEmbedding
from midpg_tf.layers.scenario_groups import group_by_scenario
from midpg_tf.layers.star_dense import StarDense
from midpg_tf.models.banked import BankedModel
from midpg_tf.models.ranking import LOGITS_DTYPE
from midpg_tf.models.stack import build_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class STAR(BankedModel):
    """Star topology adaptive recommender.

    The features are normalised by scenario (`PartitionedNormalization`) and run through
    hidden layers and an output layer of which each has a shared kernel and a full
    matrix of factors for each scenario (`StarDense`). An auxiliary network gets the
    embedded scenario and the features, and its logit is added:

        logit = star(normalised x, s) + auxiliary(e_s, x)

    Rows meet their own scenario's parts only. An unknown scenario has parts too, which
    scenario dropout trains; they also score scenarios without training rows.

    In the paper a batch has rows of one scenario; here it has rows of many, for which
    `PartitionedNormalization` says what it does. Regularisation and initialisation of
    the factors are ours.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        context: Width of the auxiliary network's embedding of the scenario. Default 8.
        auxiliary: Widths of the auxiliary network's hidden layers. Default 32.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If a size is not positive, or `auxiliary` no list.

    References:
        Sheng, Zhao, Zhou, Ding, Dai, Luo, Yang, Lv, Zhang, Deng, Zhu, "One Model to
        Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR Prediction",
        CIKM 2021, sections on partitioned normalization, the star topology FCN and the
        auxiliary network.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = STAR([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        context: int = 8,
        auxiliary: Sequence[int] = (32,),
        **kwargs: Any,
    ) -> None:
        all_whole(1, auxiliary=auxiliary)
        super().__init__(features, scenario, **kwargs)
        whole(1, context=context)
        self.context = context
        self.auxiliary = tuple(auxiliary)

        scenarios = self.scenario_index.size
        self.normalization = PartitionedNormalization(scenarios)
        self.denses = [
            self.bank(scenarios, units, layer=StarDense) for units in self.hidden
        ]
        self.head = self.bank(scenarios, 1, None, StarDense, dtype=LOGITS_DTYPE)
        self.scenario_embedding = ScenarioEmbedding(
            scenarios, context, self.embedding_stddev, self.regularizer()
        )
        self.auxiliary_denses = [self.dense(units) for units in self.auxiliary]
        self.auxiliary_head = self.output_layer()
        self.build()

    def build_tower(self, width: int) -> None:
        build_layer(self.normalization, (None, width))
        build_stack([*self.denses, self.head], width)
        build_layer(self.scenario_embedding)
        build_stack([*self.auxiliary_denses, self.auxiliary_head], self.context + width)

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        groups = group_by_scenario(scenario)
        rows = self.normalization(embedded, scenario, training=training)
        logits = self.run_own(self.denses, self.dropouts, rows, groups, training)

        rows = tf.concat([self.scenario_embedding(scenario), embedded], axis=-1)
        for dense in self.auxiliary_denses:
            rows = dense(rows)
        # A plain `+` may be fused into the product in front of it, depending on what a
        # graph knows of its shapes, and then rounds differently.
        both = tf.stack([logits, self.auxiliary_head(rows)])
        return tf.reduce_sum(both, axis=0), None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "context": self.context,
            "auxiliary": list(self.auxiliary),
        }

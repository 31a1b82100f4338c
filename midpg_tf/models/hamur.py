"""HAMUR: adapters behind the hidden layers, with weights from a hyper-network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.adapter import Adapter
from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import whole
from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.partitioned_normalization import PartitionedNormalization
from midpg_tf.models.ranking import RankingModel


@keras.saving.register_keras_serializable(package="midpg_tf")
class HAMUR(RankingModel):
    """A multilayer perceptron with an adapter behind each hidden layer.

    For the embedded features x of a row of scenario s, a hyper-network that all
    scenarios and adapters share gives a core, and each hidden layer an adapted row:

        I = reshape(relu(x W1 + b1) W2 + b2)    (rank, rank)
        g = relu(h_(l - 1) W + b)
        h_l = g + norm_s(adapter_l(g, I))       see `Adapter`

    where the norm has statistics, scale and shift of each scenario (see
    `PartitionedNormalization`).

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        rank: Rows and columns of the core. Default 8.
        bottleneck: Width in the middle of an adapter. Default 32.
        hyper: Width of the hyper-network's hidden layer. Default 64.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If a size is not positive.

    References:
        Li, Yan, Zhao, Wang, Chen, Guo, Tang, "HAMUR: Hyper Adapter for Multi-Domain
        Recommendation", CIKM 2023: the domain-shared hyper-network, one core a row,
        and the adapter cells with domain norm and residual. The backbone is one
        perceptron for all scenarios, without batch normalisation in it or in the
        hyper-network; what is specific to a scenario is the norm, and what the
        scenario fields among the features do to the core.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = HAMUR([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        rank: int = 8,
        bottleneck: int = 32,
        hyper: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        whole(1, rank=rank, hyper=hyper)
        self.rank = rank
        self.bottleneck = bottleneck
        self.hyper = hyper
        self.hyper_denses = [self.dense(hyper), self.dense(rank * rank, None)]
        self.denses = [self.dense(units) for units in self.hidden]
        self.adapters = [
            Adapter(bottleneck, self.kernel_initializer, self.regularizer())
            for _ in self.hidden
        ]
        self.norms = [
            PartitionedNormalization(self.scenario_index.size) for _ in self.hidden
        ]
        self.head = self.output_layer()
        self.build()

    def build_tower(self, width: int) -> None:
        build_layer(self.hyper_denses[0], (None, width))
        build_layer(self.hyper_denses[1], (None, self.hyper))
        for dense, adapter, norm in zip(
            self.denses, self.adapters, self.norms, strict=True
        ):
            build_layer(dense, (None, width))
            width = dense.units
            build_layer(adapter, [(None, width), (None, self.rank, self.rank)])
            build_layer(norm, (None, width))
        build_layer(self.head, (None, width))

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        core = self.hyper_denses[1](self.hyper_denses[0](embedded))
        core = tf.reshape(core, (-1, self.rank, self.rank))
        row = embedded
        for dense, adapter, norm, dropout in zip(
            self.denses, self.adapters, self.norms, self.dropouts, strict=True
        ):
            row = dense(row)
            adapted = norm(adapter([row, core]), scenario, training=training)
            # Not `+`: graphs would merge it with the norm's own sum, in an order that
            # depends on whether they know the batch size.
            row = tf.reduce_sum(tf.stack([row, adapted]), axis=0)
            row = dropout(row, training=training)
        return self.head(row), None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "rank": self.rank,
            "bottleneck": self.bottleneck,
            "hyper": self.hyper,
        }

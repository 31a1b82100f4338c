"""AdaSparse: the scenario prunes and scales neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import at_least, whole
from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.neuron_pruner import NeuronPruner
from midpg_tf.layers.scenario_embedding import ScenarioEmbedding
from midpg_tf.models.ranking import RankingModel


@keras.saving.register_keras_serializable(package="midpg_tf")
class AdaSparse(RankingModel):
    """A multilayer perceptron that drops neurons, by scenario and row.

    For each layer's input h, the embedded features the first, and the embedding z_s
    of the scenario:

        factors = prune([z_s, h] W_p + b_p)     see `NeuronPruner`
        h'      = factors * h

    With r_l the share of layer l's factors that are 0, the loss is

        cross entropy + sparsity_weight * mean over l of penalty(r_l)
        penalty(r) = 0 for min_sparsity <= r <= max_sparsity
                     (r - (min_sparsity + max_sparsity) / 2)^2 otherwise

    where r_l passes back minus the gradient of the factors' mean. The mean of the r_l
    over rows is logged as `sparsity`. Without rows there is no penalty.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        alpha: Steepness of the factors. Default 1.0.
        beta: The largest factor. Default 2.0.
        epsilon: The largest factor that is pruned. Default 0.25.
        sparsity_weight: Weight of the penalty. Default 0.01.
        min_sparsity: Share of pruned neurons from which on there is no penalty.
            Default 0.15.
        max_sparsity: Share up to which there is none. Default 0.25.
        context: Width of the scenario's embedding. Default 8.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If the bounds of the sparsity are out of order, or another argument
            is out of range.

    References:
        Yang, Peng, Wei, Liu, Wang, Zheng, "AdaSparse: Learning Adaptively Sparse
        Structures for Multi-Domain Click-Through Rate Prediction", CIKM 2022: the
        domain-aware pruner, its fusion form and the flexible sparsity regularization.
        The paper lets alpha and the penalty's weight grow in training; here they
        stay. Counting zeros with a straight-through gradient is a choice of this
        package.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = AdaSparse([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        alpha: float = 1.0,
        beta: float = 2.0,
        epsilon: float = 0.25,
        sparsity_weight: float = 0.01,
        min_sparsity: float = 0.15,
        max_sparsity: float = 0.25,
        context: int = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        whole(1, context=context)
        at_least(
            0,
            sparsity_weight=sparsity_weight,
            min_sparsity=min_sparsity,
            max_sparsity=max_sparsity,
        )
        if not 0 <= min_sparsity <= max_sparsity <= 1:
            raise ValueError(
                "expected 0 <= min_sparsity <= max_sparsity <= 1, found"
                f" min_sparsity={min_sparsity}, max_sparsity={max_sparsity}"
            )
        self.alpha = alpha
        self.beta = beta
        self.epsilon = epsilon
        self.sparsity_weight = sparsity_weight
        self.min_sparsity = min_sparsity
        self.max_sparsity = max_sparsity
        self.context = context
        self.scenario_embedding = ScenarioEmbedding(self.scenario_index.size, context)
        self.prune = NeuronPruner(alpha, beta, epsilon)
        self.denses = [self.dense(units) for units in self.hidden]
        self.head = self.output_layer()
        self.set_untracked(mean_sparsity=keras.metrics.Mean(name="sparsity"))
        self.build()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, self.mean_sparsity]

    def build_tower(self, width: int) -> None:
        build_layer(self.scenario_embedding)
        self.scorers = []
        for dense in [*self.denses, self.head]:
            scorer = self.dense(width, None)
            build_layer(scorer, (None, self.context + width))
            self.scorers.append(scorer)
            build_layer(dense, (None, width))
            width = dense.units

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        context = self.scenario_embedding(scenario)
        row, factors = embedded, []
        for layer, scorer in enumerate(self.scorers):
            factors.append(self.prune(scorer(tf.concat([context, row], axis=-1))))
            row = factors[-1] * row
            if layer < len(self.denses):
                row = self.dropouts[layer](self.denses[layer](row), training=training)
        return self.head(row), factors

    def extra_loss(self, extra: list[tf.Tensor], training: bool) -> tf.Tensor:
        sparsity = tf.stack([_pruned_share(factors) for factors in extra])
        rows = tf.cast(tf.shape(extra[0])[0], tf.float32)
        self.mean_sparsity.update_state(sparsity, rows)
        middle = (self.min_sparsity + self.max_sparsity) / 2
        inside = (sparsity >= self.min_sparsity) & (sparsity <= self.max_sparsity)
        penalty = tf.where(inside | (rows == 0), 0.0, tf.square(sparsity - middle))
        return self.sparsity_weight * tf.reduce_mean(penalty)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "alpha": self.alpha,
            "beta": self.beta,
            "epsilon": self.epsilon,
            "sparsity_weight": self.sparsity_weight,
            "min_sparsity": self.min_sparsity,
            "max_sparsity": self.max_sparsity,
            "context": self.context,
        }


def _pruned_share(factors: tf.Tensor) -> tf.Tensor:
    factors = tf.cast(factors, tf.float32)
    kept = tf.cast(factors > 0, tf.float32)
    total = tf.reduce_sum(factors + tf.stop_gradient(kept - factors))
    return 1 - tf.math.divide_no_nan(total, tf.cast(tf.size(factors), tf.float32))

"""The baseline: a multilayer perceptron with the scenario as an ordinary feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.models.ranking import RankingModel
from midpg_tf.models.stack import build_stack, run_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class MLP(RankingModel):
    """A multilayer perceptron over the embedded features, scenario fields among them.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario. Only the
            metrics and scenario dropout use it.
        **kwargs: The other arguments of `RankingModel`.

    Example:

    >>> from midpg_tf import MLP, CategoricalInput
    >>> model = MLP([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self, features: Sequence[FeatureInput], scenario: Sequence[str], **kwargs: Any
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        self.denses = [self.dense(units) for units in self.hidden]
        self.head = self.output_layer()
        self.build()

    def build_tower(self, width: int) -> None:
        build_stack([*self.denses, self.head], width)

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        rows = run_stack(self.denses, self.dropouts, embedded, training)
        return self.head(rows), None

"""EPNet: the scenario gates the embedded features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import whole
from midpg_tf.layers.gate import GateUnit
from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.scenario_embedding import ScenarioEmbedding
from midpg_tf.models.ranking import RankingModel
from midpg_tf.models.stack import build_stack, run_stack


@keras.saving.register_keras_serializable(package="midpg_tf")
class EPNet(RankingModel):
    """A multilayer perceptron over embedded features that the scenario scales.

        gates = 2 sigmoid(relu([z_s, stop_gradient(x)] W1 + b1) W2 + b2)
        score = MLP(gates * x)

    for the embedded features x and the embedding z_s of the scenario.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        context: Width of the scenario's embedding. Default 8.
        gate: Width of the gate unit's hidden layer. Default 64.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If a size is not positive.

    References:
        Chang, Zhang, Hui, Leng, Niu, Song, Gai, "PEPNet: Parameter and Embedding
        Personalized Network for Infusing with Personalized Prior Information", KDD
        2023: the Embedding Personalized Network. Of the paper's domain-side features
        (the domain's id and statistics) there is the id.

    Example:

    >>> from midpg_tf import CategoricalInput
    >>> model = EPNet([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        context: int = 8,
        gate: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        whole(1, context=context, gate=gate)
        self.context = context
        self.gate = gate
        self.scenario_embedding = ScenarioEmbedding(self.scenario_index.size, context)
        self.denses = [self.dense(units) for units in self.hidden]
        self.head = self.output_layer()
        self.build()

    def build_tower(self, width: int) -> None:
        build_layer(self.scenario_embedding)
        self.gate_unit = GateUnit(
            width, self.gate, self.kernel_initializer, self.regularizer()
        )
        build_layer(self.gate_unit, (None, self.context + width))
        build_stack([*self.denses, self.head], width)

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, None]:
        context = self.scenario_embedding(scenario)
        prior = tf.concat([context, tf.stop_gradient(embedded)], axis=-1)
        rows = self.gate_unit(prior) * embedded  # (batch, width)
        rows = run_stack(self.denses, self.dropouts, rows, training)
        return self.head(rows), None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"context": self.context, "gate": self.gate}

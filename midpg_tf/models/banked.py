"""What models with parts of each scenario's own, or with experts, share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.dense_bank import DenseBank
from midpg_tf.layers.scenario_groups import ScenarioGroups
from midpg_tf.models.ranking import LOGITS_DTYPE, RankingModel
from midpg_tf.models.stack import run_stack


class BankedModel(RankingModel):
    """A ranking model whose tower has `DenseBank`s.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        **kwargs: The other arguments of `RankingModel`.
    """

    has_dynamic_shapes = True

    def bank(
        self,
        copies: int,
        units: int,
        activation: str | None = "relu",
        layer: type[keras.layers.Layer] = DenseBank,
        **kwargs: Any,
    ) -> keras.layers.Layer:
        """A bank with the initialisation and regularisation of all models.

        Args:
            copies: Number of copies.
            units: Width of the output.
            activation: Default `relu`.
            layer: `DenseBank`, or a layer that takes the same arguments in its place.
            **kwargs: The layer's other arguments.
        """
        return layer(
            copies,
            units,
            activation,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.regularizer(),
            **kwargs,
        )

    def scenario_bank(
        self, units: int, activation: str | None = "relu", each: int = 1, **kwargs: Any
    ) -> DenseBank:
        """A bank with a copy for each scenario, or `each` copies one after the other.

        The copies of the scenario s are `each * s` and those that follow.
        """
        copies = self.scenario_index.size * each
        return self.bank(copies, units, activation, by_scenario=True, **kwargs)

    def scenario_output(self) -> DenseBank:
        """From the last hidden layer to logits `(..., 1)`, for each scenario."""
        return self.scenario_bank(1, None, dtype=LOGITS_DTYPE)

    def run_own(
        self,
        layers: Sequence[keras.layers.Layer],
        dropouts: Sequence[keras.layers.Layer],
        rows: tf.Tensor,
        groups: ScenarioGroups,
        training: bool | None,
    ) -> tf.Tensor:
        """Runs rows through their own scenario's layers, and its output layer `head`.

        Args:
            layers: Banks by scenario, from the first to the last hidden one.
            dropouts: One a layer.
            rows: `(batch, width)`.
            groups: The rows' scenarios.
            training: Whether this is a training step.

        Returns:
            Logits `(batch, 1)`.
        """
        copy = groups.tile_scenario
        tiles = groups.split(rows)  # (tiles, rows, width)
        tiles = run_stack(layers, dropouts, tiles, training, copy=copy)
        return groups.join(self.head(tiles, copy))

    def run_experts(
        self,
        shared: Sequence[DenseBank],
        specific: Sequence[DenseBank],
        dropouts: Sequence[keras.layers.Layer],
        rows: tf.Tensor,
        tiles: tf.Tensor,
        groups: ScenarioGroups,
        training: bool | None,
    ) -> list[tf.Tensor]:
        """Runs rows through the shared experts, then through their scenario's own.

        Args:
            shared: Banks of the shared experts, from the first layer to the last.
            specific: Banks of each scenario's own experts; none if it has none.
            dropouts: One a layer.
            rows: What the shared experts get, `(batch, width)`.
            tiles: What the specific ones get, `(tiles, rows, width)`.
            groups: The rows' scenarios.
            training: Whether this is a training step.

        Returns:
            For each expert, `(batch, units)`.
        """
        together = run_stack(shared, dropouts, rows[tf.newaxis], training)
        outputs = tf.unstack(together, shared[0].copies)
        each = specific[0].copies // self.scenario_index.size if specific else 0
        for expert in range(each):
            own = groups.tile_scenario * each + expert
            output = run_stack(specific, dropouts, tiles, training, copy=own)
            outputs.append(groups.join(output))
        return outputs

    def check_hidden(self) -> None:
        """Raises ValueError if there is no hidden layer, of which experts are made."""
        if not self.hidden:
            raise ValueError("hidden: expected at least one layer, found none")


def mix(weights: tf.Tensor, outputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """The weighted sum of experts.

    Args:
        weights: `(batch, experts)`.
        outputs: For each expert, `(batch, units)`.

    Returns:
        `(batch, units)`.
    """
    columns = tf.split(weights, len(outputs), axis=-1)
    return tf.add_n([w * x for w, x in zip(columns, outputs, strict=True)])

"""MI-DPG: a shared backbone, weighted by scenario."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import (
    FeatureEmbedding,
    Input,
    ModulatedDense,
    WeightingMatrix,
    group_by_scenario,
)
from midpg_tf.layers.weighting_matrix import Activation
from midpg_tf.losses import MutualInformation
from midpg_tf.metrics import MatrixDiversity
from midpg_tf.models.ranking import RankingModel


class Generated(NamedTuple):
    """What a batch's scenarios are, and the matrices that they got.

    Attributes:
        scenarios: int64 `(groups,)`.
        known: bool `(groups,)`.
        counts: int32 `(groups,)`, numbers of rows.
        matrices: For each layer, `(groups, input_dim + 1, units)`.
    """

    scenarios: tf.Tensor
    known: tf.Tensor
    counts: tf.Tensor
    matrices: list[tf.Tensor]


@keras.saving.register_keras_serializable(package="midpg_tf")
class MIDPG(RankingModel):
    """A backbone whose every weight and bias is weighted by scenario.

    An auxiliary network turns the embedded scenario fields into the cores of low-rank
    weighting matrices, one for each hidden layer and one for the output layer (see
    `WeightingMatrix` and `ModulatedDense`). The loss is

        cross entropy - mi_weight * I_hat(s; M)

    with the estimate of `MutualInformation`, logged in nats as `mutual_information`;
    `matrix_diversity` is the distance of scenarios' matrices. At initialisation the
    model equals the backbone, and for an unknown scenario it always does.

    Args:
        features: The model's inputs. The scenario fields are among the backbone's
            features too, as in every other model.
        scenario: Names of the features whose combination is the scenario.
        rank: Rank of the weighting matrices before activation. Default 8.
        activation: Of the weighting matrices, `sigmoid` or `linear`. Default
            `sigmoid`.
        mi_weight: Weight of the mutual information; with 0 it isn't estimated.
            Default 0.01.
        context: Width of the auxiliary network's embedding of each field. Default 8.
        auxiliary: Widths of the auxiliary network's hidden layers. Default 32.
        **kwargs: The other arguments of `RankingModel`.

    Example:

    >>> from midpg_tf import MIDPG, CategoricalInput
    >>> model = MIDPG([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])

    References:
        Cheng, Ding, Dong, He, Zhang, Mo, "MI-DPG: Decomposable Parameter Generation
        Network Based on Mutual Information for Multi-Scenario Recommendation", CIKM
        2023. The paper's words are the auxiliary network, the matrices' decomposition
        into scenario-specific and scenario-shared ones of low rank, the weighting of
        all parameters, and the objective; the rest is a reconstruction.
    """

    def __init__(
        self,
        features: Sequence[Input],
        scenario: Sequence[str],
        rank: int = 8,
        activation: Activation = "sigmoid",
        mi_weight: float = 0.01,
        context: int = 8,
        auxiliary: Sequence[int] = (32,),
        **kwargs: Any,
    ) -> None:
        super().__init__(features, scenario, **kwargs)
        self.rank = rank
        self.activation = activation
        self.mi_weight = mi_weight
        self.context = context
        self.auxiliary = tuple(auxiliary)

        self.context_embedding = FeatureEmbedding(
            [dataclasses.replace(field, embedding=context) for field in self.fields],
            stddev=1.0,
        )
        self.auxiliary_denses = [
            keras.layers.Dense(units, activation="relu") for units in self.auxiliary
        ]
        self.denses = [
            ModulatedDense(
                units,
                activation="relu",
                kernel_initializer=self.kernel_initializer,
                kernel_regularizer=self.regularizer(),
            )
            for units in self.hidden
        ]
        # In half precision, logits would be too coarse to rank and calibrate by.
        self.head = ModulatedDense(
            1,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.regularizer(),
            dtype="float32",
        )
        if mi_weight:
            self.mutual_information = MutualInformation(
                [field.known for field in self.fields]
            )
            self.mean_information = keras.metrics.Mean(name="mutual_information")
        self.diversity = MatrixDiversity()
        self.build()

    def build_tower(self, width: int) -> None:
        self.context_embedding.build()
        context = self.context_embedding.width
        for dense in self.auxiliary_denses:
            dense.build((None, context))
            context = dense.units
        self.generators = []
        for dense in [*self.denses, self.head]:
            generator = WeightingMatrix(width, dense.units, self.rank, self.activation)
            generator.build((None, context))
            self.generators.append(generator)
            dense.build((None, None, width))
            width = dense.units
        if self.mi_weight:
            self.mutual_information.build(
                [(None, one.input_dim + 1, one.units) for one in self.generators]
            )

    def generate(self, scenarios: tf.Tensor) -> list[tf.Tensor]:
        """The weighting matrices of some scenarios.

        Args:
            scenarios: int64 `(groups,)`, of `scenario_index`.

        Returns:
            For each layer, `(groups, input_dim + 1, units)`, the bias' weights last;
            all ones for an unknown scenario.
        """
        ids = self.scenario_index.decode(scenarios)
        context = self.context_embedding(dict(zip(self.scenario, ids, strict=True)))
        for dense in self.auxiliary_denses:
            context = dense(context)
        known = scenarios < self.scenario_index.count
        return [generator(context, known) for generator in self.generators]

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, Generated]:
        groups = group_by_scenario(scenario)
        matrices = self.generate(groups.scenarios)
        tiles = groups.tile(embedded)  # (tiles, rows, width)
        for dense, matrix, dropout in zip(
            self.denses, matrices[:-1], self.dropouts, strict=True
        ):
            tiles = dropout(dense(tiles, matrix, groups.tile_group), training=training)
        logits = groups.untile(self.head(tiles, matrices[-1], groups.tile_group))
        known = groups.scenarios < self.scenario_index.count
        return logits, Generated(groups.scenarios, known, groups.counts, matrices)

    def extra_loss(self, context: Generated, training: bool) -> tf.Tensor:
        self.diversity.update_state(
            [tf.boolean_mask(matrix, context.known) for matrix in context.matrices]
        )
        if not self.mi_weight:
            return tf.constant(0.0)
        rows = tf.where(context.known, tf.cast(context.counts, tf.float32), 0.0)
        information = self.mutual_information(
            context.matrices,
            self.scenario_index.decode(context.scenarios),
            tf.math.divide_no_nan(rows, tf.reduce_sum(rows)),
            training=training,
        )
        self.mean_information.update_state(information)
        return -self.mi_weight * information

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "rank": self.rank,
            "activation": self.activation,
            "mi_weight": self.mi_weight,
            "context": self.context,
            "auxiliary": list(self.auxiliary),
        }

"""MI-DPG: a shared backbone, weighted by scenario."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import all_whole, at_least, one_of, whole
from midpg_tf.layers.feature_embedding import FeatureEmbedding
from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.layers.modulated_dense import ModulatedDense
from midpg_tf.layers.modulated_run import Run, generated_run, looked_up_run, shared_run
from midpg_tf.layers.scenario_groups import (
    Grouping,
    OneScenario,
    ScenarioChunks,
    ScenarioGroups,
    group_by_scenario,
    is_one_scenario,
    part_by_scenario,
)
from midpg_tf.layers.weighting_matrix import (
    Activation,
    Decomposition,
    WeightingMatrix,
    Weights,
)
from midpg_tf.losses.info_nce import InfoNCE
from midpg_tf.losses.mutual_information import MutualInformation
from midpg_tf.metrics.matrix_diversity import MatrixDiversity
from midpg_tf.models.ranking import LOGITS_DTYPE, RankingModel, flat
from midpg_tf.models.stack import build_stack

Estimator = Literal["barber_agakov", "infonce"]
Modulated = Literal["all", "hidden", "first", "last"]

_ESTIMATORS = {"barber_agakov": MutualInformation, "infonce": InfoNCE}

_MOST_PARTS = 64
"""Scenarios up to which a training step has a branch of the graph for each."""

_CHUNKS = 16
"""Branches of a training step's graph with more scenarios."""

_TILE_COST = 64.0
"""Time that a tile's weighted kernel takes to make and to differentiate in training, in
rows that could be multiplied meanwhile (measured)."""

_MOST_BYTES = 64 << 20
"""Largest size of all scenarios' weighted kernels together that are kept for serving.
Beyond it, each request generates its own."""


class Generated(NamedTuple):
    """What a batch's scenarios are, and what their matrices look like.

    Attributes:
        scenarios: int64 `(groups,)`.
        counts: int32 `(groups,)`, numbers of rows.
        samples: For each modulated layer, entries of its matrices, of
            `WeightingMatrix.sample`.
    """

    scenarios: tf.Tensor
    counts: tf.Tensor
    samples: list[tf.Tensor]


@keras.saving.register_keras_serializable(package="midpg_tf")
class MIDPG(RankingModel):
    """A backbone whose every weight and bias is weighted by scenario.

    An auxiliary network turns the embedded scenario fields into the cores of low-rank
    weighting matrices, one for each hidden layer and one for the output layer (see
    `WeightingMatrix` and `ModulatedDense`). What comes before, embeddings and cross
    layers, is the same for all scenarios. The loss is

        cross entropy - mi_weight * I_hat(s; M)

    with the estimate of `MutualInformation`, logged in nats as `mutual_information`;
    `matrix_diversity` is the distance of scenarios' matrices. Both see at most 16 x 16
    entries of each matrix (see `WeightingMatrix.sample`), not the whole. They are made
    of a batch's known scenarios and averaged over batches, the information by their
    known rows, so they depend on how rows are batched: where each batch has one
    scenario, the information is at most 0. At initialisation the model equals the
    backbone, and for an unknown scenario it always does. For a known value of a
    scenario field (its id is below the unknown ones) without training rows it doesn't:
    the matrices then come from an embedding as it was initialised. So give ids only to
    values that training has, as the pipeline does with its vocabularies of train rows.

    Args:
        features: The model's inputs. The scenario fields are among the backbone's
            features too, as in every other model.
        scenario: Names of the features whose combination is the scenario.
        rank: Rank of the weighting matrices before activation. Default 8.
        activation: Of the weighting matrices, `sigmoid` or `linear`. Default
            `linear`.
        mi_weight: Weight of the mutual information; with 0 it isn't estimated.
            Default 0.01.
        estimator: Of the mutual information: `barber_agakov` (`MutualInformation`)
            or `infonce` (`InfoNCE`). Default `barber_agakov`.
        modulated: Which layers are weighted: `all`, those that are `hidden`, the
            `first` or the `last` (the output layer) only. Default `all`.
        decomposition: Of the matrices: scenario-shared and scenario-specific factors
            (`both`), or `shared` or `specific` ones alone (see `WeightingMatrix`).
            Default `both`.
        context: Width of the auxiliary network's embedding of each field. Default 8.
        auxiliary: Widths of the auxiliary network's hidden layers. Default 32.
        matrix_l2: Factor of the matrices' squared factors in the loss: it pulls
            matrices to ones, scenarios to what they have in common. Default 1e-5.
        **kwargs: The other arguments of `RankingModel`.

    Raises:
        ValueError: If an argument is out of range, unknown or no list, or `modulated`
            asks for hidden layers where there are none.

    References:
        Cheng, Ding, Dong, He, Zhang, Mo, "MI-DPG: Decomposable Parameter Generation
        Network Based on Mutual Information for Multi-Scenario Recommendation", CIKM
        2023. The paper's words are the auxiliary network, the matrices' decomposition
        into scenario-specific and scenario-shared ones of low rank, the weighting of
        all parameters, and the objective; the rest is a reconstruction.

    Example:

    >>> from midpg_tf import MIDPG, CategoricalInput
    >>> model = MIDPG([CategoricalInput("channel", cardinality=4)], ["channel"])
    >>> model({"channel": tf.constant([0, 1, 3])}).shape
    TensorShape([3])
    """

    has_dynamic_shapes = True

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        rank: int = 8,
        activation: Activation = "linear",
        mi_weight: float = 0.01,
        estimator: Estimator = "barber_agakov",
        modulated: Modulated = "all",
        decomposition: Decomposition = "both",
        context: int = 8,
        auxiliary: Sequence[int] = (32,),
        matrix_l2: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        all_whole(1, auxiliary=auxiliary)
        super().__init__(features, scenario, **kwargs)
        whole(1, rank=rank, context=context)
        at_least(0, mi_weight=mi_weight, matrix_l2=matrix_l2)
        one_of(_ESTIMATORS, estimator=estimator)
        self.rank = rank
        self.activation = activation
        self.mi_weight = mi_weight
        self.estimator = estimator
        self.modulated = modulated
        self.decomposition = decomposition
        self.context = context
        self.auxiliary = tuple(auxiliary)
        self.matrix_l2 = matrix_l2

        self.context_embedding = FeatureEmbedding(
            [dataclasses.replace(field, embedding=context) for field in self.fields],
            stddev=1.0,
        )
        self.auxiliary_denses = [
            keras.layers.Dense(units, activation="relu") for units in self.auxiliary
        ]
        last = len(self.hidden)
        weighted = {
            "all": range(last + 1),
            "hidden": range(last),
            "first": range(1),
            "last": range(last, last + 1),
        }
        one_of(weighted, modulated=modulated)
        self.weighted = weighted[modulated]
        if not self.weighted:
            raise ValueError(
                f"modulated: expected hidden layers for {modulated!r}, found none"
            )
        self.denses = [
            self._layer(place, units) for place, units in enumerate(self.hidden)
        ]
        self.head = self._layer(last, 1, None, dtype=LOGITS_DTYPE)
        if mi_weight:
            self.mutual_information = _ESTIMATORS[estimator](
                [field.known for field in self.fields]
            )
            self.set_untracked(
                mean_information=keras.metrics.Mean(name="mutual_information")
            )
        self.set_untracked(diversity=MatrixDiversity())
        self.build()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        information = [self.mean_information] if self.mi_weight else []
        return [*super().metrics, *information, self.diversity]

    def _layer(
        self, place: int, units: int, activation: str | None = "relu", **kwargs: Any
    ) -> ModulatedDense | keras.layers.Dense:
        layer = ModulatedDense if place in self.weighted else keras.layers.Dense
        return self.dense(units, activation, layer, **kwargs)

    def build_tower(self, width: int) -> None:
        build_layer(self.context_embedding)
        context = build_stack(self.auxiliary_denses, self.context_embedding.width)
        self.generators = []
        for dense in self._stack():
            if isinstance(dense, ModulatedDense):
                generator = WeightingMatrix(
                    width,
                    dense.units,
                    self.rank,
                    self.activation,
                    self.decomposition,
                    keras.regularizers.L2(self.matrix_l2) if self.matrix_l2 else None,
                )
                build_layer(generator, (None, context))
                self.generators.append(generator)
            build_layer(dense, (None, None, width))
            width = dense.units
        if self.mi_weight:
            build_layer(
                self.mutual_information, [one.sampled for one in self.generators]
            )

    def generate(self, scenarios: tf.Tensor) -> list[tf.Tensor]:
        """The weighting matrices of some scenarios.

        Args:
            scenarios: int64 `(groups,)`, of `scenario_index`.

        Returns:
            For each modulated layer, `(groups, input_dim + 1, units)`, the bias'
            weights last; all ones for an unknown scenario.
        """
        known = scenarios < self.scenario_index.count
        context = self._context(scenarios)
        return [
            tf.concat(generator(context, known), axis=1)
            for generator in self.generators
        ]

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, Generated]:
        if training:
            groups = group_by_scenario(scenario, _TILE_COST)
            return self._run(embedded, ScenarioChunks.of(groups, _CHUNKS), training)
        return tf.cond(
            is_one_scenario(scenario),
            lambda: self._run(embedded, OneScenario.of(scenario), training),
            lambda: self._run(embedded, group_by_scenario(scenario), training),
        )

    def _logits(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None
    ) -> tuple[tf.Tensor, Generated]:
        if not training or self.scenario_index.count > _MOST_PARTS:
            return super()._logits(inputs, training)
        # Before `tower`, which would have to move the rows' embeddings.
        inputs, scenario = self.scenario_inputs(inputs, training)
        groups = part_by_scenario(scenario, self.scenario_index.size)
        return self._run(self.interact(groups.arrange(inputs)), groups, training)

    def _run(
        self, embedded: tf.Tensor, groups: Grouping, training: bool | None
    ) -> tuple[tf.Tensor, Generated]:
        known = groups.scenarios < self.scenario_index.count
        context = self._context(groups.scenarios)
        runs: list[Run] = []
        samples: list[tf.Tensor] = []
        generators = iter(self.generators)
        for dense in self._stack():
            if isinstance(dense, ModulatedDense):
                generator = next(generators)
                factors = generator.factors(context, known)
                runs.append(generated_run(dense, groups, generator, factors))
                samples.append(generator.sample(factors))
            else:
                runs.append(shared_run(dense, groups))
        logits = self._backbone(embedded, groups, runs, training)
        return logits, Generated(groups.scenarios, groups.counts, samples)

    def _backbone(
        self,
        embedded: tf.Tensor,
        groups: Grouping,
        runs: Sequence[Run],
        training: bool | None,
    ) -> tf.Tensor:
        """Logits `(batch, 1)`, given what runs each of the layers of `_stack`."""
        *hidden, output = runs
        rows = groups.split(embedded)
        for run, dropout in zip(hidden, self.dropouts, strict=True):
            rows = dropout(run(rows), training=training)
        return groups.join(output(rows))

    def _stack(self) -> list[keras.layers.Layer]:
        """The backbone's layers, the output layer last."""
        return [*self.denses, self.head]

    def scorer(self) -> Callable[[Mapping[str, tf.Tensor]], tf.Tensor]:
        """Scores with weighted kernels that are looked up, not generated.

        As long as those of all scenarios take at most 64 MiB; beyond that, they are
        generated in each call.
        """
        scenarios = self.scenario_index.size
        entries = sum(math.prod(one.kernel.shape) for one in self._modulated())
        if 4 * scenarios * entries > _MOST_BYTES:
            return super().scorer()
        return _Scorer(self)

    def _modulated(self) -> list[ModulatedDense]:
        return [one for one in self._stack() if isinstance(one, ModulatedDense)]

    def extra_loss(self, extra: Generated, training: bool) -> tf.Tensor:
        rows = tf.cast(extra.counts, tf.float32)
        known = (extra.scenarios < self.scenario_index.count) & (rows > 0)
        self.diversity.update_state(
            [tf.boolean_mask(sample, known) for sample in extra.samples]
        )
        if not self.mi_weight:
            return tf.constant(0.0)
        rows = tf.where(known, rows, 0.0)
        information = self.mutual_information(
            extra.samples,
            self.scenario_index.decode(extra.scenarios),
            tf.math.divide_no_nan(rows, tf.reduce_sum(rows)),
            training=training,
        )
        self.mean_information.update_state(information, tf.reduce_sum(rows))
        return -self.mi_weight * information

    def _context(self, scenarios: tf.Tensor) -> tf.Tensor:
        """The output of the auxiliary network, `(groups, width)`."""
        ids = self.scenario_index.decode(scenarios)
        context = self.context_embedding(dict(zip(self.scenario, ids, strict=True)))
        for dense in self.auxiliary_denses:
            context = dense(context)
        return context

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "rank": self.rank,
            "activation": self.activation,
            "mi_weight": self.mi_weight,
            "estimator": self.estimator,
            "modulated": self.modulated,
            "decomposition": self.decomposition,
            "context": self.context,
            "auxiliary": list(self.auxiliary),
            "matrix_l2": self.matrix_l2,
        }


class _Scorer(tf.Module):
    """An MI-DPG model with a table of the weighted kernels of all scenarios."""

    def __init__(self, model: MIDPG) -> None:
        super().__init__()
        self.model = model
        scenarios = tf.range(model.scenario_index.size, dtype=tf.int64)
        context = model._context(scenarios)
        known = scenarios < model.scenario_index.count
        self.tables = [
            Weights(*(tf.Variable(part, trainable=False) for part in weighted))
            for weighted in (
                dense.weigh(generator(context, known))
                for dense, generator in zip(
                    model._modulated(), model.generators, strict=True
                )
            )
        ]
        # Inlined, its hundred nodes would be passed through in every request, dead or
        # not. Most requests are of one scenario, and a call costs the others nothing.
        self._grouped = tf.function(
            lambda embedded, scenario: self._logits(
                embedded, group_by_scenario(scenario)
            ),
            autograph=False,
            experimental_attributes={"_noinline": True},
        )

    def __call__(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        embedded, scenario = self.model.embed(features, training=False)
        logits = tf.cond(
            is_one_scenario(scenario),
            lambda: self._logits(embedded, OneScenario.of(scenario)),
            lambda: self._grouped(embedded, scenario),
        )
        return tf.sigmoid(flat(logits))

    def _logits(
        self, embedded: tf.Tensor, groups: ScenarioGroups | OneScenario
    ) -> tf.Tensor:
        tables = iter(self.tables)
        runs = [
            looked_up_run(dense, groups, next(tables))
            if isinstance(dense, ModulatedDense)
            else shared_run(dense, groups)
            for dense in self.model._stack()
        ]
        return self.model._backbone(embedded, groups, runs, training=False)

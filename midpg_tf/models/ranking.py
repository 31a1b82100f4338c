"""What all models share: embedding, cross entropy, metrics and configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from midpg_tf.layers.building import build_layer
from midpg_tf.layers.checks import all_whole, at_least, below_one, listed, whole
from midpg_tf.layers.dropout import Dropout
from midpg_tf.layers.feature_embedding import FeatureEmbedding
from midpg_tf.layers.inputs import (
    CategoricalInput,
    FeatureInput,
    check_features,
    deserialized,
    one_a_row,
    scenario_fields,
    select,
    serialized,
)
from midpg_tf.layers.scenario_dropout import ScenarioDropout
from midpg_tf.layers.scenario_index import ScenarioIndex
from midpg_tf.layers.trained_scenarios import TrainedScenarios
from midpg_tf.metrics.scenario_auc import ScenarioAUC
from midpg_tf.metrics.scenario_calibration import ScenarioCalibration
from midpg_tf.metrics.scenario_log_loss import ScenarioLogLoss
from midpg_tf.models.own_loss import OwnLossModel

LOGITS_DTYPE = "float32"
"""In half precision, logits would be too coarse to rank and calibrate by."""


class RankingModel(OwnLossModel):
    """A model of conversion probability, for rows that each have a scenario.

    Subclasses add what comes behind the embedded features: `build_tower` makes the
    layers, `tower` runs them. A subclass ends its constructor with `self.build()`, so
    that all weights exist from construction on. A subclass of a model that ends so sets
    its settings, numbers or texts, before it calls the model's constructor, and makes
    layers in `build_tower`. Keras saves no layer's `trainable`: what was frozen must be
    frozen again after loading.

    Where scenarios have parts or embeddings of their own, one without training rows,
    such as a new combination of known values, is scored by those of the unknown
    scenario (see `TrainedScenarios`), which scenario dropout trains. A call with
    `training=True` counts as training: it marks the scenarios that it meets.

    Give ids only to values that training has, as the pipeline does, whose vocabularies
    are of the train rows. The embedding of a known value (its id is below the unknown
    ones) without training rows stays as it was initialised, and with it what is
    generated of it: `MIDPG` isn't the plain backbone there.

    In a training loop of one's own, the loss of a batch is

        model.compute_loss((features, label), training=True) + sum(model.losses)

    Scores of a call don't suffice for it: they have neither `extra_loss`, such as the
    mutual information, nor the correction of `negative_rate`.

    Args:
        features: The model's inputs.
        scenario: Names of the features whose combination is the scenario.
        hidden: Widths of the hidden layers. Default 256, 128, 64.
        cross_layers: Number of cross layers (DCN v2, `tfrs.layers.dcn.Cross`) in
            front of the hidden layers. Default 0.
        dot_interactions: Whether the hidden layers also get the inner products of all
            pairs of embeddings (`tfrs.layers.feature_interaction.DotInteraction`),
            which must then be of the same width. Default False.
        dropout: Rate of dropout behind each hidden layer. Default 0.2.
        embedding_stddev: Standard deviation of embeddings at initialisation. Default
            1e-3: rare values start as nearly the same, not as noise.
        l2: Factor of squared kernels in the loss. Default 1e-5.
        embedding_l2: Factor of squared embeddings in the loss. Ids of which there are
            many may need one that would be too much for kernels. Default: `l2`.
        kernel_initializer: Keras' name of the kernels' initialiser. Default
            `glorot_uniform`. No object: each kernel needs one of its own.
        scenario_dropout: Share of training rows whose scenario becomes unknown.
            Default 0.01.
        negative_rate: Share of the rows without a conversion that training gets, where
            they are many and alike. Odds among all rows are `negative_rate` times those
            among these, so training adds `-log(negative_rate)` to the logits, and the
            model's scores stay those of all rows. So do its metrics in training, where
            such a row counts for `1 / negative_rate` rows, but not the loss. Default 1.

    Input shape:
        A dictionary as of `FeatureEmbedding`, with ids of any integer type; those of a
        multivalued feature may be sparse, too.

    Output shape:
        The probability that the label is 1: float32 `(batch,)`.

    Raises:
        ValueError: If an argument is out of range, no list or no name, two features
            have the same name, there is no scenario field, one twice or one that is no
            categorical feature, or embeddings whose inner products are asked for differ
            in width. At call, if features are no dictionary, one is missing, its ids
            aren't integers, or it has another shape.

    References:
        The correction: King and Zeng, "Logistic Regression in Rare Events Data",
        Political Analysis 9, 2001, section 4.1.
    """

    def __init__(
        self,
        features: Sequence[FeatureInput],
        scenario: Sequence[str],
        hidden: Sequence[int] = (256, 128, 64),
        cross_layers: int = 0,
        dot_interactions: bool = False,
        dropout: float = 0.2,
        embedding_stddev: float = 1e-3,
        l2: float = 1e-5,
        embedding_l2: float | None = None,
        kernel_initializer: str = "glorot_uniform",
        scenario_dropout: float = 0.01,
        negative_rate: float = 1.0,
        **kwargs: Any,
    ) -> None:
        listed(features=features, scenario=scenario)
        all_whole(1, hidden=hidden)
        super().__init__(**kwargs)
        self.features = tuple(features)
        self.scenario = tuple(scenario)
        self.hidden = tuple(hidden)
        self.cross_layers = cross_layers
        self.dot_interactions = dot_interactions
        self.dropout = dropout
        self.embedding_stddev = embedding_stddev
        self.l2 = l2
        self.embedding_l2 = embedding_l2
        self.kernel_initializer = kernel_initializer
        self.scenario_dropout = scenario_dropout
        self.negative_rate = negative_rate
        whole(0, cross_layers=cross_layers)
        at_least(
            0,
            embedding_stddev=embedding_stddev,
            l2=l2,
            embedding_l2=embedding_l2 or 0.0,
            negative_rate=negative_rate,
        )
        if not isinstance(kernel_initializer, str):
            raise ValueError(
                "kernel_initializer: expected Keras' name of one, such as 'he_normal',"
                f" found {kernel_initializer!r}"
            )
        below_one(dropout=dropout, scenario_dropout=scenario_dropout)
        if not 0 < negative_rate <= 1:
            raise ValueError(
                "negative_rate: expected a share above 0 and at most 1, found"
                f" {negative_rate}"
            )

        check_features(self.features)
        self.fields = scenario_fields(self.features, self.scenario)
        self.scenario_index = ScenarioIndex(self.fields)
        self.drop_scenario = ScenarioDropout(self.fields, scenario_dropout)
        self.embedding = FeatureEmbedding(
            self.features,
            embedding_stddev,
            l2 if embedding_l2 is None else embedding_l2,
        )
        self.crosses = [
            tfrs.layers.dcn.Cross(
                kernel_initializer=kernel_initializer,
                kernel_regularizer=self.regularizer(),
            )
            for _ in range(cross_layers)
        ]
        if dot_interactions:
            _check_widths(self.features)
            # TensorFlow lacks half precision for it on CPUs.
            self.dots = tfrs.layers.feature_interaction.DotInteraction(
                skip_gather=False, dtype="float32"
            )
        self.dropouts = [Dropout(dropout) for _ in self.hidden]
        self.task = tfrs.tasks.Ranking(
            loss=keras.losses.BinaryCrossentropy(
                from_logits=True, reduction=keras.losses.Reduction.NONE
            )
        )
        scenarios = self.scenario_index.names
        self.set_untracked(
            scenario_metrics=[
                ScenarioAUC(scenarios),
                ScenarioLogLoss(scenarios),
                ScenarioCalibration(scenarios),
            ]
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self.scenario_metrics]

    def build_tower(self, width: int) -> None:
        """Makes the layers behind the embedded features `(batch, width)`."""
        raise NotImplementedError

    def tower(
        self, embedded: tf.Tensor, scenario: tf.Tensor, training: bool | None
    ) -> tuple[tf.Tensor, Any]:
        """Scores rows.

        Args:
            embedded: `(batch, width)`.
            scenario: int64 `(batch,)`, of `ScenarioIndex`.
            training: Whether this is a training step.

        Returns:
            Logits `(batch, 1)`, and whatever `extra_loss` needs.
        """
        raise NotImplementedError

    def extra_loss(self, extra: Any, training: bool) -> tf.Tensor:
        """A scalar to add to the cross entropy; updates the model's own metrics.

        Args:
            extra: The second value of `tower`.
            training: Whether this is a training step.
        """
        return tf.constant(0.0)

    def regularizer(self) -> keras.regularizers.Regularizer | None:
        """The regulariser of kernels; None without `l2`."""
        return keras.regularizers.L2(self.l2) if self.l2 else None

    def dense(
        self,
        units: int,
        activation: str | None = "relu",
        layer: Callable[..., keras.layers.Layer] = keras.layers.Dense,
        **kwargs: Any,
    ) -> keras.layers.Layer:
        """A dense layer with the initialisation and regularisation of all models."""
        return layer(
            units,
            activation,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.regularizer(),
            **kwargs,
        )

    def output_layer(self) -> keras.layers.Dense:
        """From the last hidden layer to logits `(..., 1)`."""
        return self.dense(1, None, dtype=LOGITS_DTYPE)

    def build(self, input_shape: Any = None) -> None:
        """Makes all weights. The shapes follow from the constructor's arguments."""
        if self.embedding.built:
            return
        build_layer(self.embedding)
        width = self.embedding.width
        for cross in self.crosses:
            # Its `build` leaves the weights to the first call.
            cross(tf.zeros((1, width)))
        if self.dot_interactions:
            width += math.comb(len(_categorical(self.features)), 2)
        self.build_tower(width)
        self.trained_scenarios = None
        if any(getattr(layer, "scenario_weights", ()) for layer in self.submodules):
            self.trained_scenarios = TrainedScenarios(self.scenario_index.size)
            build_layer(self.trained_scenarios)
        self.built = True

    def _get_save_spec(
        self, dynamic_batch: bool = True, inputs_only: bool = True
    ) -> Any:
        """What `save` and `export` make signatures of: any number of rows.

        Keras takes the shapes of the first call, which `fit` doesn't make, and in which
        a multivalued feature has the width of one batch.
        """
        specs = {item.name: item.spec for item in self.features}
        return specs if inputs_only else ([specs], {})

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> tf.Tensor:
        logits, _ = self._logits(inputs, training)
        return tf.sigmoid(flat(logits))

    def scorer(self) -> Callable[[Mapping[str, tf.Tensor]], tf.Tensor]:
        """What is exported for serving: gives the scores of `call`, maybe faster.

        It must be made anew when weights have changed.
        """
        return lambda features: self.__call__(features, training=False)

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """The loss of a batch, without regularisation; updates the metrics.

        Args:
            inputs: `(features, label)` or `(features, label, sample_weight)`.
            training: Whether this is a training step.

        Returns:
            A scalar: the mean over rows of the weighted cross entropy, in nats, plus
            `extra_loss`.

        Raises:
            ValueError: If rows have no label, or several, or aren't in batches.
            tf.errors.InvalidArgumentError: If a label is outside 0 to 1; not under XLA.
        """
        features, label, weight = keras.utils.unpack_x_y_sample_weight(inputs)
        label = _checked_labels(label)
        if weight is not None:
            weight = tf.reshape(tf.cast(weight, tf.float32), (-1,))
        logits, extra = self._logits(features, training)
        logits = flat(logits)
        scores, counts = tf.sigmoid(logits), weight
        if training and self.negative_rate < 1:
            logits -= math.log(self.negative_rate)
            # Metrics are of all rows, as those of evaluation are.
            counts = tf.where(label > 0, 1.0, 1 / self.negative_rate)
            counts = counts if weight is None else counts * weight
        each = self.task(
            label[:, tf.newaxis], logits[:, tf.newaxis], sample_weight=weight
        )
        scenario = self.scenario_index(features)
        for metric in self.scenario_metrics:
            metric.update_state(label, scores, scenario, counts)
        # A replica may have no row of an epoch's last batch.
        rows = tf.cast(tf.size(label), tf.float32)
        mean = tf.math.divide_no_nan(tf.reduce_sum(each), rows)
        return mean + self.extra_loss(extra, training)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "name": self.name,
            "features": serialized(self.features),
            "scenario": list(self.scenario),
            "hidden": list(self.hidden),
            "cross_layers": self.cross_layers,
            "dot_interactions": self.dot_interactions,
            "dropout": self.dropout,
            "embedding_stddev": self.embedding_stddev,
            "l2": self.l2,
            "embedding_l2": self.embedding_l2,
            "kernel_initializer": self.kernel_initializer,
            "scenario_dropout": self.scenario_dropout,
            "negative_rate": self.negative_rate,
            # Of the layers: the global one where they were made.
            "dtype_policy": self.embedding.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The inverse of `get_config`, under any global dtype policy."""
        arguments = dict(config)
        features = deserialized(arguments.pop("features"))
        policy = keras.mixed_precision.global_policy()
        keras.mixed_precision.set_global_policy(arguments.pop("dtype_policy"))
        try:
            return cls(features, **arguments)
        finally:
            keras.mixed_precision.set_global_policy(policy)

    def _logits(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None
    ) -> tuple[tf.Tensor, Any]:
        embedded, scenario = self.embed(inputs, training)
        return self.tower(embedded, scenario, training)

    def embed(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What `tower` takes: embedded features, and scenarios with trained parts.

        Args:
            inputs: As of a call.
            training: Whether this is a training step.
        """
        inputs, scenario = self.scenario_inputs(inputs, training)
        if self.trained_scenarios is not None:
            scenario = self.trained_scenarios(scenario, training=training)
        return self.interact(inputs), scenario

    def scenario_inputs(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None
    ) -> tuple[Mapping[str, tf.Tensor], tf.Tensor]:
        """The model's own inputs after scenario dropout, and each row's scenario.

        Args:
            inputs: As of a call.
            training: Whether this is a training step.
        """
        inputs = self.drop_scenario(select(self.features, inputs), training=training)
        return inputs, self.scenario_index(inputs)

    def interact(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Embedded features behind the cross layers and inner products.

        Args:
            inputs: As `select` gives them.

        Returns:
            `(batch, width)`.
        """
        embedded = self.embedding(inputs)
        crossed = embedded
        for cross in self.crosses:
            crossed = cross(embedded, crossed)
        if self.dot_interactions:
            dots = tf.cast(self._dots(embedded), crossed.dtype)
            crossed = tf.concat([crossed, dots], axis=-1)
        return crossed

    def _dots(self, embedded: tf.Tensor) -> tf.Tensor:
        widths = [item.width for item in self.features]
        columns = tf.split(embedded, widths, axis=-1)
        return self.dots(
            [
                column
                for item, column in zip(self.features, columns, strict=True)
                if isinstance(item, CategoricalInput)
            ]
        )


def flat(logits: tf.Tensor) -> tf.Tensor:
    """Logits `(batch, 1)` as float32 `(batch,)`."""
    return tf.cast(tf.squeeze(logits, axis=-1), tf.float32)


def _checked_labels(label: Any) -> tf.Tensor:
    if label is None:
        raise ValueError(
            "expected rows with labels, as in fit(features, labels) or a dataset of"
            " (features, labels), found none"
        )
    told = "expected a label for each row"
    if isinstance(label, Mapping):
        raise ValueError(f"{told}, found a dictionary of {sorted(label)}; give one")
    if isinstance(label, tf.Tensor) and label.dtype == tf.string:
        raise ValueError("labels: expected numbers from 0 to 1, found text")
    label = tf.reshape(one_a_row(told, tf.cast(label, tf.float32)), (-1,))
    # Of arrays, `fit` tells it before it trains; of a data set, only its batches can.
    known = tf.debugging.Assert(
        tf.reduce_all((label >= 0) & (label <= 1)),
        [
            "labels: expected numbers from 0 to 1, found",
            tf.reduce_min(label),
            "to",
            tf.reduce_max(label),
        ],
    )
    with tf.control_dependencies([known]):
        return tf.identity(label)


def _categorical(features: Sequence[FeatureInput]) -> list[CategoricalInput]:
    return [item for item in features if isinstance(item, CategoricalInput)]


def _check_widths(features: Sequence[FeatureInput]) -> None:
    widths = {item.name: item.embedding for item in _categorical(features)}
    if len(set(widths.values())) > 1:
        raise ValueError(
            "dot_interactions: expected embeddings of one width, found"
            f" {widths}; set `embedding` of each feature"
        )

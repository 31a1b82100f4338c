"""Batch normalisation with statistics, scale and shift of each scenario."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import at_least, below_one, whole
from midpg_tf.layers.replicas import over_replicas


class Sums(NamedTuple):
    """What the statistics of each scenario's rows follow from.

    Attributes:
        rows: `(scenarios, 1)`, numbers of rows.
        values: `(scenarios, width)`, sums of the rows.
        squares: `(scenarios, width)`, sums of the squared rows.
    """

    rows: tf.Tensor
    values: tf.Tensor
    squares: tf.Tensor


@keras.saving.register_keras_serializable(package="midpg_tf")
class PartitionedNormalization(keras.layers.Layer):
    """Normalises rows by their scenario's mean and variance.

        y = (gamma * gamma_s) (x - mean_s) / sqrt(variance_s + epsilon) + beta + beta_s

    In training, the statistics are those of the scenario's rows in the batch, of all
    replicas; otherwise those of training's batches, where older ones count less. The
    paper draws each batch from one scenario. Here a batch has rows of many, maybe few
    of some, so a scenario's statistics are those of its own rows and of `prior_rows`
    more that are distributed as the whole batch. A scenario that training never saw
    so has the statistics of all rows. Before training the mean is 0, the variance 1.
    A layer that isn't `trainable` runs as in inference, like Keras' BatchNormalization.

    Args:
        scenarios: Number of scenarios, the unknown one included.
        momentum: Weight of a batch in the statistics for inference, relative to the
            batch after it. Default 0.99.
        epsilon: Added to the variance. Default 1e-3.
        prior_rows: How many rows of the whole batch's distribution join those of a
            scenario. Default 16; 0 is the paper's.

    Input shape:
        Rows `(batch, width)`, and int `(batch,)`: their scenarios.

    Output shape:
        `(batch, width)`.

    Raises:
        ValueError: If a size or rate is out of range.

    References:
        Sheng et al., "One Model to Serve All: Star Topology Adaptive Recommender for
        Multi-Domain CTR Prediction", CIKM 2021, section on partitioned normalization.

    Example:

    >>> layer = PartitionedNormalization(scenarios=2, prior_rows=0, epsilon=0)
    >>> rows = tf.constant([[1.0], [3.0], [50.0], [70.0]])
    >>> layer(rows, tf.constant([0, 0, 1, 1]), training=True).numpy().tolist()
    [[-1.0], [1.0], [-1.0], [1.0]]
    """

    def __init__(
        self,
        scenarios: int,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        prior_rows: float = 16.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, scenarios=scenarios)
        below_one(momentum=momentum)
        at_least(0, epsilon=epsilon, prior_rows=prior_rows)
        self.scenarios = scenarios
        self.momentum = momentum
        self.epsilon = epsilon
        self.prior_rows = prior_rows

    def build(self, input_shape: Any) -> None:
        width = int(input_shape[-1])
        self.gamma = self._add("gamma", (width,), "ones")
        self.beta = self._add("beta", (width,), "zeros")
        self.scenario_gamma = self._add(
            "scenario_gamma", (self.scenarios, width), "ones"
        )
        self.scenario_beta = self._add(
            "scenario_beta", (self.scenarios, width), "zeros"
        )
        self.moving_batches = self._add_moving("moving_batches", ())
        self.moving_sums = Sums(
            self._add_moving("moving_rows", (self.scenarios, 1)),
            self._add_moving("moving_values", (self.scenarios, width)),
            self._add_moving("moving_squares", (self.scenarios, width)),
        )
        self.built = True

    @property
    def scenario_weights(self) -> list[tf.Variable]:
        """Those whose first axis is the scenarios'."""
        return [self.scenario_gamma, self.scenario_beta, *self.moving_sums]

    def call(
        self, inputs: tf.Tensor, scenario: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        # In half precision, sums of squares would overflow.
        rows = tf.cast(inputs, self.variable_dtype)
        if training and self.trainable:
            sums = self._sums(rows, scenario)
            self._move(sums)
        else:
            sums = Sums(
                *(
                    tf.math.divide_no_nan(each, self.moving_batches)
                    for each in self.moving_sums
                )
            )
        mean, variance = self._statistics(sums)
        # Gathered before the division: graphs make a quotient by a root into rsqrt,
        # which rounds differently.
        deviation = tf.gather(tf.sqrt(variance + self.epsilon), scenario)
        normal = (rows - tf.gather(mean, scenario)) / deviation  # (batch, width)
        gamma = tf.gather(self.gamma * self.scenario_gamma, scenario)
        output = normal * gamma + tf.gather(self.beta + self.scenario_beta, scenario)
        return tf.cast(output, self.compute_dtype)

    def _sums(self, rows: tf.Tensor, scenario: tf.Tensor) -> Sums:
        ones = tf.ones_like(rows[:, :1])
        sums = [
            tf.math.unsorted_segment_sum(each, scenario, self.scenarios)
            for each in (ones, rows, tf.square(rows))
        ]
        return Sums(*over_replicas(sums))

    def _move(self, sums: Sums) -> None:
        # Sums, not means: a scenario with few rows in a batch moves its mean little.
        self.moving_batches.assign(self.moving_batches * self.momentum + 1)
        for moving, each in zip(self.moving_sums, sums, strict=True):
            moving.assign(moving * self.momentum + each)

    def _statistics(self, sums: Sums) -> tuple[tf.Tensor, tf.Tensor]:
        everything = [tf.reduce_sum(each, axis=0) for each in sums]
        rows = sums.rows + self.prior_rows
        mean, square = (
            tf.math.divide_no_nan(
                own + self.prior_rows * tf.math.divide_no_nan(total, everything[0]),
                rows,
            )
            for own, total in zip(sums[1:], everything[1:], strict=True)
        )
        # Rounding can leave a constant feature with a variance below 0.
        variance = tf.maximum(square - tf.square(mean), 0)
        seen = sums.rows + self.prior_rows * everything[0] > 0
        return mean, tf.where(seen, variance, tf.ones_like(variance))

    def _add(self, name: str, shape: tuple[int, ...], initializer: str) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            experimental_autocast=False,
        )

    def _add_moving(self, name: str, shape: tuple[int, ...]) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer="zeros",
            trainable=False,
            experimental_autocast=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "scenarios": self.scenarios,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "prior_rows": self.prior_rows,
        }

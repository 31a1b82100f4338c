"""Which scenarios training has met."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import whole
from midpg_tf.layers.replicas import over_replicas


@keras.saving.register_keras_serializable(package="midpg_tf")
class TrainedScenarios(keras.layers.Layer):
    """Takes scenarios without training rows for the unknown one.

    What such a scenario has of its own is as it was at initialisation, or what
    regularisation alone has made of it, while scenario dropout trains what the unknown
    one has. Training passes scenarios through and marks them, on all replicas; else
    those that have no mark become unknown. Before the first training step, when none
    has a mark, all pass through.

    A row counts whatever its weight. Marks are among the layer's weights, so they are
    saved with them, and early stopping restores those of the best epoch. A layer that
    isn't `trainable` runs as in inference.

    Args:
        scenarios: Number of scenarios, the unknown one included, which is the last.

    Input shape:
        int64 `(batch,)`, from 0 to below `scenarios`.

    Output shape:
        As the input.

    Raises:
        ValueError: If the number is not positive.

    Example:

    >>> layer = TrainedScenarios(scenarios=4)
    >>> layer(tf.constant([0, 2, 2], tf.int64), training=True).numpy().tolist()
    [0, 2, 2]
    >>> layer(tf.constant([0, 1, 2, 3], tf.int64)).numpy().tolist()
    [0, 3, 2, 3]
    """

    def __init__(self, scenarios: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        whole(1, scenarios=scenarios)
        self.scenarios = scenarios

    def build(self, input_shape: Any = None) -> None:
        self.trained = self.add_weight(
            name="trained",
            shape=(self.scenarios,),
            # TensorBoard has no images of flags.
            dtype=tf.uint8,
            initializer="zeros",
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if training and self.trainable:
            self._mark(inputs)
            return inputs
        marks = self._marks()
        passes = tf.gather(marks, inputs) | ~tf.reduce_any(marks)
        return tf.where(passes, inputs, tf.constant(self.scenarios - 1, inputs.dtype))

    def _mark(self, scenario: tf.Tensor) -> None:
        ones = tf.ones_like(scenario, tf.float32)
        rows = tf.math.unsorted_segment_sum(ones, scenario, self.scenarios)
        marks = self._marks() | (over_replicas(rows) > 0)
        self.trained.assign(tf.cast(marks, self.trained.dtype))

    def _marks(self) -> tf.Tensor:
        return tf.cast(self.trained, tf.bool)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scenarios": self.scenarios}

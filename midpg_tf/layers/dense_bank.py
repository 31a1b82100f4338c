"""Dense layers of one shape, side by side: a scenario's own, or experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import fresh
from midpg_tf.layers.checks import whole


@keras.saving.register_keras_serializable(package="midpg_tf")
class DenseBank(keras.layers.Layer):
    """`activation(x W_c + b_c)`: a full copy of kernel and bias for each copy c.

    Every tile of rows meets its own copy, all in one batched matrix product. With a
    copy for each scenario, rows come grouped by scenario (see `group_by_scenario`),
    so that no row is computed for a scenario that isn't its own.

    Args:
        copies: Number of copies.
        units: Width of the output.
        activation: As in `keras.layers.Dense`. Default: none.
        kernel_initializer: Draws each copy on its own, as that of a Dense. Default
            `glorot_uniform`.
        kernel_regularizer: Acts on the sum over all copies. Default: none.
        by_scenario: Whether copies are scenarios' own, in the order of their indices:
            as many of each, one after the other. Default False.

    Input shape:
        Rows `(tiles, rows, input_dim)`; and int `(tiles,)`, each tile's copy, or
        None where tile i has copy i. A single tile is then for every copy.

    Output shape:
        `(tiles, rows, units)`.

    Raises:
        ValueError: If a size is not positive.

    Example:

    >>> layer = DenseBank(copies=3, units=2)
    >>> layer(tf.ones((5, 4, 7)), tf.constant([0, 0, 2, 1, 0])).shape
    TensorShape([5, 4, 2])
    >>> layer(tf.ones((1, 4, 7))).shape
    TensorShape([3, 4, 2])
    """

    def __init__(
        self,
        copies: int,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        by_scenario: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, copies=copies, units=units)
        self.copies = copies
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.by_scenario = by_scenario

    @property
    def scenario_weights(self) -> list[tf.Variable]:
        """Those whose first axis is the scenarios', or some of each."""
        return [self.kernel, self.bias] if self.by_scenario else []

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.copies, int(input_shape[-1]), self.units),
            initializer=self._draw_copies,
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.copies, 1, self.units), initializer="zeros"
        )
        self.built = True

    def call(self, inputs: tf.Tensor, copy: tf.Tensor | None = None) -> tf.Tensor:
        kernel, bias = self.kernel, self.bias
        if copy is not None:
            kernel = tf.gather(kernel, copy)  # (tiles, input_dim, units)
            bias = tf.gather(bias, copy)  # (tiles, 1, units)
        return self.activation(tf.matmul(inputs, kernel) + bias)

    def _draw_copies(self, shape: Sequence[int], dtype: Any = None) -> tf.Tensor:
        # The whole shape's fan-in would be that of all copies together.
        copies = [
            fresh(self.kernel_initializer)(shape[1:], dtype) for _ in range(shape[0])
        ]
        return tf.stack(copies)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "copies": self.copies,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "by_scenario": self.by_scenario,
        }

"""A dense layer whose weights and bias are weighted by scenario."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="midpg_tf")
class ModulatedDense(keras.layers.Layer):
    """`activation(x (W * M_s) + b * m_s)`: kernel and bias weighted by scenario.

    `M_s` weights the kernel `W` and `m_s` the bias `b`, elementwise. `W * M_s` can be
    of full rank though M_s comes from matrices of low rank. With a matrix of ones the
    layer is a plain Dense. Rows come grouped by scenario, so that there is one matrix
    product a group (see `group_by_scenario`).

    Args:
        units: Width of the output.
        activation: As in `keras.layers.Dense`. Default: none.
        kernel_initializer: Default `glorot_uniform`.
        bias_initializer: Default `zeros`.
        kernel_regularizer: Default: none.

    Input shape:
        Rows `(tiles, rows, input_dim)`; matrices `(groups, input_dim + 1, units)`,
        whose last row weights the bias; and int32 `(tiles,)`, each tile's group,
        or None where tile i has group i.

    Output shape:
        `(tiles, rows, units)`.

    Example:

    >>> layer = ModulatedDense(1, kernel_initializer="ones")
    >>> matrices = tf.constant([[[1.0], [1.0], [1.0]], [[2.0], [0.5], [1.0]]])
    >>> layer(tf.constant([[[3.0, 4.0]], [[3.0, 4.0]]]), matrices).numpy().tolist()
    [[[7.0]], [[8.0]]]

    References:
        Cheng et al., "MI-DPG", CIKM 2023: the weighting of the backbone's complete
        parameter space by a scenario-conditioned matrix.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"expected a positive number of units, found {units}")
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(int(input_shape[-1]), self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer=self.bias_initializer
        )
        self.built = True

    def call(
        self,
        inputs: tf.Tensor,
        matrices: tf.Tensor,
        tile_group: tf.Tensor | None = None,
    ) -> tf.Tensor:
        # Weighted once a scenario, then copied to the scenario's tiles.
        matrices = tf.cast(matrices, inputs.dtype)
        kernel = tf.cast(self.kernel, inputs.dtype) * matrices[:, :-1]
        bias = tf.cast(self.bias, inputs.dtype) * matrices[:, -1:]
        if tile_group is not None:
            kernel = tf.gather(kernel, tile_group)  # (tiles, input_dim, units)
            bias = tf.gather(bias, tile_group)  # (tiles, 1, units)
        return self.activation(tf.matmul(inputs, kernel) + bias)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        return tf.TensorShape(input_shape[:-1]).concatenate(self.units)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

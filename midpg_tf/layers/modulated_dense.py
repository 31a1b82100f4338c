"""A dense layer whose weights and bias are weighted by scenario."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import whole
from midpg_tf.layers.weighting_matrix import Weights


@keras.saving.register_keras_serializable(package="midpg_tf")
class ModulatedDense(keras.layers.Layer):
    """`activation(x (W * M_s) + b * m_s)`: kernel and bias weighted by scenario.

    `M_s` weights the kernel `W` and `m_s` the bias `b`, elementwise. `W * M_s` can be
    of full rank though M_s comes from matrices of low rank. With a matrix of ones the
    layer is a plain Dense. All rows of an input share a scenario; rows of several are
    grouped first, and the layer is given to the groups' `map`.

    Args:
        units: Width of the output.
        activation: As in `keras.layers.Dense`. Default: none.
        kernel_initializer: Default `glorot_uniform`.
        kernel_regularizer: Default: none.

    Input shape:
        Rows `(rows, input_dim)` of a scenario, and its `Weights`; or
        `(groups, rows, input_dim)`, and theirs.

    Output shape:
        As the rows, of width `units`.

    Raises:
        ValueError: If `units` is not positive.

    References:
        Cheng et al., "MI-DPG", CIKM 2023: the weighting of the backbone's complete
        parameter space by a scenario-conditioned matrix.

    Example:

    >>> from midpg_tf.layers import Weights, group_by_scenario
    >>> layer = ModulatedDense(1, kernel_initializer="ones")
    >>> groups = group_by_scenario(tf.constant([0, 1], tf.int64))
    >>> rows = groups.split(tf.constant([[3.0, 4.0], [3.0, 4.0]]))
    >>> kernel = tf.constant([[[1.0], [1.0]], [[2.0], [0.5]]])
    >>> weights = Weights(kernel, bias=tf.ones((2, 1, 1)))
    >>> output = groups.map(
    ...     lambda part, *own: layer(part, Weights(*own)), rows, *weights
    ... )
    >>> groups.join(output).numpy().tolist()
    [[7.0], [8.0]]
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, units=units)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(int(input_shape[-1]), self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        self.built = True

    def call(self, inputs: tf.Tensor, weights: Weights) -> tf.Tensor:
        # Keras' files keep a named tuple as a list.
        return self.multiply(inputs, self.weigh(Weights(*weights)))

    def weigh(self, weights: Weights) -> Weights:
        """`W * M_s` and `b * m_s` of each group, of the shapes of `weights`."""
        kernel = tf.cast(self.kernel, self.compute_dtype)
        return Weights(weigh(kernel, weights.kernel), self.weigh_bias(weights.bias))

    def weigh_bias(self, weights: tf.Tensor) -> tf.Tensor:
        """`b * m_s`, of the shape of the weights."""
        bias = tf.cast(self.bias, self.compute_dtype)
        return bias * tf.cast(weights, self.compute_dtype)

    def multiply(self, inputs: tf.Tensor, weighted: Weights) -> tf.Tensor:
        """The layer's output.

        Args:
            inputs: As of a call.
            weighted: Of `weigh`.
        """
        rows = tf.cast(inputs, self.compute_dtype)
        return self.finish(tf.matmul(rows, weighted.kernel), weighted.bias)

    def finish(self, products: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """The layer's output.

        Args:
            products: Of rows and weighted kernels.
            bias: Of `weigh_bias`.
        """
        if products.shape.rank == 2:
            # TensorFlow fuses this with the product and the activation.
            return self.activation(tf.nn.bias_add(products, tf.squeeze(bias, axis=0)))
        return self.activation(products + bias)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def weigh(kernel: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """`W * M_s`.

    Args:
        kernel: `(input_dim, units)`.
        weights: Of this shape, or with an axis of groups before; of any dtype.

    Returns:
        Of the shape of the weights and the dtype of the kernel.
    """
    weights = tf.cast(weights, kernel.dtype)
    return kernel * weights if weights.shape.rank == 2 else _weigh_all(kernel, weights)


@tf.custom_gradient
def _weigh_all(kernel: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, Any]:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        groups = tf.shape(weights)[0]
        # A sum over the first axis as a matrix product, which is several times faster.
        each = tf.reshape(upstream * weights, (groups, -1))
        total = tf.matmul(tf.ones((1, groups), each.dtype), each)
        return tf.reshape(total, tf.shape(kernel)), upstream * kernel

    return kernel * weights, gradient

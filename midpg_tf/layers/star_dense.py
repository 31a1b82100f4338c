"""A dense layer in the star topology: a shared centre, and factors by scenario."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import whole


@keras.saving.register_keras_serializable(package="midpg_tf")
class StarDense(keras.layers.Layer):
    """`activation(x (W * W_s) + b + b_s)`: full factors of the kernel by scenario.

    The shared kernel `W` is multiplied elementwise by the scenario's `W_s`, and the
    biases are added. `W_s` starts as ones and `b_s` as zeros, so that the layer starts
    as a plain Dense.

    Args:
        scenarios: Number of scenarios, the unknown one included.
        units: Width of the output.
        activation: As in `keras.layers.Dense`. Default: none.
        kernel_initializer: Of the shared kernel. Default `glorot_uniform`.
        kernel_regularizer: Acts on the shared kernel, and on the factors' distance
            from 1. Default: none.

    Input shape:
        Rows `(tiles, rows, input_dim)`, grouped by scenario (see
        `group_by_scenario`); and int `(tiles,)`, each tile's scenario, or None where
        tile i has scenario i.

    Output shape:
        `(tiles, rows, units)`.

    Raises:
        ValueError: If a size is not positive.

    References:
        Sheng et al., "One Model to Serve All: Star Topology Adaptive Recommender for
        Multi-Domain CTR Prediction", CIKM 2021, section on the star topology FCN. The
        initialisation and the regularisation are ours.

    Example:

    >>> layer = StarDense(scenarios=3, units=2)
    >>> layer(tf.ones((5, 4, 7)), tf.constant([0, 0, 2, 1, 0])).shape
    TensorShape([5, 4, 2])
    """

    def __init__(
        self,
        scenarios: int,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, scenarios=scenarios, units=units)
        self.scenarios = scenarios
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Any) -> None:
        shape = (int(input_shape[-1]), self.units)
        self.kernel = self.add_weight(
            name="kernel",
            shape=shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        self.factors = self.add_weight(
            name="factors",
            shape=(self.scenarios, *shape),
            initializer="ones",
            regularizer=self._about_one if self.kernel_regularizer else None,
        )
        self.scenario_bias = self.add_weight(
            name="scenario_bias",
            shape=(self.scenarios, 1, self.units),
            initializer="zeros",
        )
        self.built = True

    @property
    def scenario_weights(self) -> list[tf.Variable]:
        """Those whose first axis is the scenarios'."""
        return [self.factors, self.scenario_bias]

    def call(self, inputs: tf.Tensor, copy: tf.Tensor | None = None) -> tf.Tensor:
        factors, bias = self.factors, self.scenario_bias
        if copy is not None:
            factors, bias = tf.gather(factors, copy), tf.gather(bias, copy)
        kernel, bias = self.kernel * factors, self.bias + bias
        return self.activation(tf.matmul(inputs, kernel) + bias)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "scenarios": self.scenarios,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

    def _about_one(self, factors: tf.Tensor) -> tf.Tensor:
        return self.kernel_regularizer(factors - 1)

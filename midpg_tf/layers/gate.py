"""The gate neural unit of PEPNet."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer, fresh
from midpg_tf.layers.checks import whole


@keras.saving.register_keras_serializable(package="midpg_tf")
class GateUnit(keras.layers.Layer):
    """Gates from prior information x: `2 sigmoid(relu(x W1 + b1) W2 + b2)`.

    Gates of 1 change nothing; so does a unit whose second kernel and bias are zero.

    Args:
        units: Number of gates.
        hidden: Width of the hidden layer. Default 64.
        kernel_initializer: Draws each kernel on its own. Default `glorot_uniform`.
        kernel_regularizer: Default: none.

    Input shape:
        The prior, `(batch, prior)`.

    Output shape:
        `(batch, units)`, from 0 to 2.

    Raises:
        ValueError: If a size is not positive.

    References:
        Chang, Zhang, Hui, Leng, Niu, Song, Gai, "PEPNet: Parameter and Embedding
        Personalized Network for Infusing with Personalized Prior Information", KDD
        2023: the Gate Neural Unit, with its factor gamma = 2.

    Example:

    >>> gate = GateUnit(2, kernel_initializer="zeros")
    >>> gate(tf.ones((1, 5))).numpy().tolist()
    [[1.0, 1.0]]
    """

    def __init__(
        self,
        units: int,
        hidden: int = 64,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, units=units, hidden=hidden)
        self.units = units
        self.hidden = hidden
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.first, self.second = (
            keras.layers.Dense(
                width,
                activation,
                kernel_initializer=fresh(kernel_initializer),
                kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy,
            )
            for width, activation in ((hidden, "relu"), (units, "sigmoid"))
        )

    def build(self, input_shape: Any) -> None:
        build_layer(self.first, input_shape)
        build_layer(self.second, (None, self.hidden))
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return 2 * self.second(self.first(inputs))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "hidden": self.hidden,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

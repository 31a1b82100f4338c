"""The adapter of HAMUR: a bottleneck whose weights come from a hyper-network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import fresh
from midpg_tf.layers.checks import whole


@keras.saving.register_keras_serializable(package="midpg_tf")
class Adapter(keras.layers.Layer):
    """`sigmoid(x W1 + b1) W2 + b2`, down to a bottleneck and up again.

        W1 = U1 I V1    (width, bottleneck)
        W2 = U2 I V2    (bottleneck, width)

    for a row's core I, which a hyper-network makes. The products are taken from the
    left, so that a row needs its core alone, never a kernel of its own.

    Args:
        bottleneck: Width in the middle. Default 32.
        kernel_initializer: Draws each of the U and V on its own. Default
            `glorot_uniform`.
        kernel_regularizer: Of the U and V. Default: none.

    Input shape:
        A list: rows `(batch, width)`, and their cores `(batch, rank, rank)`.

    Output shape:
        `(batch, width)`.

    Raises:
        ValueError: If the bottleneck is not positive.

    References:
        Li, Yan, Zhao, Wang, Chen, Guo, Tang, "HAMUR: Hyper Adapter for Multi-Domain
        Recommendation", CIKM 2023: the adapter cell and its low-rank weights. Its
        domain norm and residual are the model's.

    Example:

    >>> Adapter(bottleneck=3)([tf.ones((2, 5)), tf.ones((2, 4, 4))]).shape
    TensorShape([2, 5])
    """

    def __init__(
        self,
        bottleneck: int = 32,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, bottleneck=bottleneck)
        self.bottleneck = bottleneck
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Sequence[Any]) -> None:
        rows, cores = input_shape
        width, rank = int(rows[-1]), int(cores[-1])
        self.down = self._add_weights("down", width, rank, self.bottleneck)
        self.up = self._add_weights("up", self.bottleneck, rank, width)
        self.built = True

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        rows, cores = inputs
        return _apply(self.up, tf.sigmoid(_apply(self.down, rows, cores)), cores)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "bottleneck": self.bottleneck,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

    def _add_weights(
        self, name: str, width: int, rank: int, units: int
    ) -> list[tf.Variable]:
        left, right = (
            self.add_weight(
                name=f"{name}_{side}",
                shape=shape,
                initializer=fresh(self.kernel_initializer),
                regularizer=self.kernel_regularizer,
            )
            for side, shape in (("left", (width, rank)), ("right", (rank, units)))
        )
        bias = self.add_weight(f"{name}_bias", (units,), initializer="zeros")
        return [left, right, bias]


def _apply(weights: list[tf.Variable], rows: tf.Tensor, cores: tf.Tensor) -> tf.Tensor:
    left, right, bias = (tf.cast(weight, rows.dtype) for weight in weights)
    narrow = tf.einsum("bk,bkl->bl", tf.matmul(rows, left), cores)
    return tf.nn.bias_add(tf.matmul(narrow, right), bias)

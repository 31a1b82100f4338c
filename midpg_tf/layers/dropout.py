"""Dropout that spends one byte of randomness on a unit."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import below_one

_LEVELS = 256


@keras.saving.register_keras_serializable(package="midpg_tf")
class Dropout(keras.layers.Layer):
    """Sets a share of the units to zero in training, and scales up the others.

    `keras.layers.Dropout` draws a float for each unit, which in networks as narrow as
    those of recommenders costs as much time as the matrix products. A byte tells rates
    apart in steps of 1/256; what is kept is scaled by the inverse of its exact share.

    Args:
        rate: Share of units, rounded to a multiple of 1/256.

    Input shape:
        Any; or a list of tensors, for which one draw is made: that takes less time than
        one for each.

    Output shape:
        As the input.

    Raises:
        ValueError: If the rate is not in [0, 1), or so near 1 that nothing is left.

    References:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout", JMLR 15,
        2014, in its inverted form.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        below_one(rate=rate)
        self.rate = rate
        self.dropped = round(rate * _LEVELS)
        if self.dropped == _LEVELS:
            raise ValueError(
                "rate: expected a share that, rounded to a multiple of"
                f" 1/{_LEVELS}, is below 1, found {rate}"
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not self.dropped:
            return inputs
        if not isinstance(inputs, list):
            return self.call([inputs], training)[0]
        sizes = [tf.size(part) for part in inputs]
        factors = self._draw(tf.add_n(sizes), inputs[0].dtype)
        return [
            part * tf.reshape(mine, tf.shape(part))
            for part, mine in zip(
                inputs, tf.split(factors, sizes, num=len(inputs)), strict=True
            )
        ]

    def _draw(self, units: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """What to multiply with: zeros, and the scale of what is kept; `(units,)`."""
        words = tf.random.stateless_uniform(
            [-(-units // 4)],
            # The seed is drawn, so that it follows TensorFlow's global one.
            seed=tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32),
            minval=None,
            maxval=None,
            dtype=tf.uint32,
        )
        drawn = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:units]
        kept = tf.cast(drawn >= self.dropped, dtype)
        scale = _LEVELS / (_LEVELS - self.dropped)
        return kept * scale

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate}

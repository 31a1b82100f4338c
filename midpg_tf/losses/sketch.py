"""What an estimator of mutual information sees of the weighting matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras


class Sketch(keras.layers.Layer):
    """Sees each matrix as a fixed random projection, with noise in training.

    The sketch of a matrix M is `A (M - 1) B / sqrt(rows * units)`, whose expected
    squared entry is the mean square of M - 1. It is divided by `noise_stddev`, so that
    the noise has a standard deviation of 1 and an estimator's weights are of that
    order.

    Args:
        sizes: Number of known values of each scenario field.
        sketch: Rows and columns of a sketch. Default 4.
        noise_stddev: Standard deviation of the noise, in units of M's entries.
            Default 0.1.

    Raises:
        ValueError: If a size or the noise is not positive.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        sketch: int = 4,
        noise_stddev: float = 0.1,
        **kwargs: Any,
    ) -> None:
        # Entropies of many scenarios need more than half precision.
        super().__init__(**{"dtype": "float32", **kwargs})
        if min([*sizes, sketch, noise_stddev]) <= 0:
            raise ValueError(
                "expected positive sizes, sketch and noise_stddev, found"
                f" sizes={list(sizes)}, sketch={sketch}, noise_stddev={noise_stddev}"
            )
        self.sizes = list(sizes)
        self.sketch = sketch
        self.noise_stddev = noise_stddev

    def build(self, input_shape: Any) -> None:
        """Makes the projections for matrices of the shapes `(groups, rows, units)`."""
        self.projections = [
            tuple(
                self.add_weight(
                    name=f"{side}_{layer}",
                    shape=(int(shape[axis]), self.sketch),
                    initializer=keras.initializers.RandomNormal(stddev=1.0),
                    trainable=False,
                )
                for side, axis in (("rows", 1), ("units", 2))
            )
            for layer, shape in enumerate(input_shape)
        ]
        self.width = len(input_shape) * self.sketch**2
        self.built = True

    def see(
        self, matrices: Sequence[tf.Tensor], training: bool | None = None
    ) -> tf.Tensor:
        """The sketches of all layers, float32 `(groups, width)`."""
        sketches = [
            self._project(tf.cast(matrix, tf.float32), left, right)
            for matrix, (left, right) in zip(matrices, self.projections, strict=True)
        ]
        seen = tf.concat(sketches, axis=-1) / self.noise_stddev
        return seen + tf.random.normal(tf.shape(seen)) if training else seen

    def _project(
        self, matrix: tf.Tensor, left: tf.Tensor, right: tf.Tensor
    ) -> tf.Tensor:
        size = left.shape[0] * right.shape[0]
        entries = tf.matmul(left, tf.matmul(matrix - 1, right), transpose_a=True)
        return tf.reshape(entries, (-1, self.sketch**2)) * size**-0.5

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "sizes": self.sizes,
            "sketch": self.sketch,
            "noise_stddev": self.noise_stddev,
        }

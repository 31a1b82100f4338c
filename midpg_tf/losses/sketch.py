"""What an estimator of mutual information sees of the weighting matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import all_whole, whole


class Sketch(keras.layers.Layer):
    """Sees a scenario's matrices as a fixed random projection, with noise in training.

    With m the n entries of all its matrices, the sketch is `(m - 1) P / sqrt(n)`, whose
    expected squared entry is the mean square of m - 1. It is divided by `noise_stddev`,
    so that the noise has a standard deviation of 1 and an estimator's weights are of
    that order.

    Args:
        sizes: Number of known values of each scenario field.
        sketch: Number of entries of a sketch. Default 64.
        noise_stddev: Standard deviation of the noise, in units of M's entries.
            Default 0.1.

    Raises:
        ValueError: If a size or the noise is not positive.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        sketch: int = 64,
        noise_stddev: float = 0.1,
        **kwargs: Any,
    ) -> None:
        # Entropies of many scenarios need more than half precision.
        super().__init__(**{"dtype": "float32", **kwargs})
        all_whole(1, sizes=sizes)
        whole(1, sketch=sketch)
        if not 0 < noise_stddev < math.inf:
            raise ValueError(
                f"noise_stddev: expected a finite number above 0, found {noise_stddev}"
            )
        self.sizes = list(sizes)
        self.sketch = sketch
        self.noise_stddev = noise_stddev

    def build(self, input_shape: Any) -> None:
        """Makes the projection of matrices of the shapes `(groups, rows, units)`."""
        # Keras gives a list of one tensor as that tensor when it loads a model.
        shapes = (
            [input_shape] if isinstance(input_shape, tf.TensorShape) else input_shape
        )
        entries = sum(int(shape[1]) * int(shape[2]) for shape in shapes)
        self.projection = self.add_weight(
            name="projection",
            shape=(entries, self.sketch),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
        )
        self.built = True

    def see(
        self, matrices: Sequence[tf.Tensor], training: bool | None = None
    ) -> tf.Tensor:
        """The sketches, float32 `(groups, sketch)`.

        Args:
            matrices: `(groups, rows, units)`, one a layer.
            training: Whether there is noise.
        """
        matrices = tf.nest.flatten(matrices)
        groups = tf.shape(matrices[0])[0]
        entries = tf.concat(
            [tf.reshape(matrix, (groups, -1)) for matrix in matrices], axis=1
        )
        scale = self.noise_stddev * self.projection.shape[0] ** 0.5
        seen = tf.matmul(tf.cast(entries, tf.float32) - 1, self.projection) / scale
        return seen + tf.random.normal(tf.shape(seen)) if training else seen

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "sizes": self.sizes,
            "sketch": self.sketch,
            "noise_stddev": self.noise_stddev,
        }

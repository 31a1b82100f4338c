"""How far the weighting matrices of different scenarios are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras


def matrix_diversity(matrices: tf.Tensor) -> tf.Tensor:
    """Root mean square distance of the entries of two different scenarios' matrices.

    Args:
        matrices: `(groups, rows, units)`.

    Returns:
        A float32 scalar in units of the entries: the root of the mean, over entries
        and over pairs of groups, of the squared difference. 0 with fewer than two.
    """
    groups = tf.cast(tf.shape(matrices)[0], tf.float32)
    # The mean squared difference of a pair is 2 n / (n - 1) times the variance.
    variance = tf.math.reduce_variance(tf.cast(matrices, tf.float32), axis=0)
    pairs = 2 * groups / tf.maximum(groups - 1, 1)
    # Without any group the variance is NaN and `pairs` is 0.
    return tf.sqrt(tf.math.multiply_no_nan(tf.reduce_mean(variance), pairs))


@keras.saving.register_keras_serializable(package="midpg_tf")
class MatrixDiversity(keras.metrics.Mean):
    """Mean of `matrix_diversity` over layers and batches of two or more scenarios.

    It depends on how rows are batched, that is, on which scenarios meet in a batch.
    `MIDPG` gives it at most 16 x 16 entries of each layer's matrix, not the whole.

    Args:
        name: Default `matrix_diversity`.

    Result:
        A float32 scalar; 0 where all scenarios have the same matrices, or no batch had
        two of them.
    """

    def __init__(self, name: str = "matrix_diversity", **kwargs: Any) -> None:
        super().__init__(name=name, **{"dtype": "float32", **kwargs})

    def update_state(self, values: Sequence[tf.Tensor]) -> Any:
        """Counts a batch: a list of matrices `(groups, rows, units)`, one a layer."""
        distances = [matrix_diversity(matrices) for matrices in values]
        # A scenario alone is not one that is like others.
        has_pairs = tf.cast(tf.shape(values[0])[0] > 1, tf.float32)
        return super().update_state(tf.stack(distances), has_pairs)

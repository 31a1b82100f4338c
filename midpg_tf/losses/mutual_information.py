"""The mutual information between a scenario and its weighting matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras


def barber_agakov_bound(probabilities: tf.Tensor, log_q: tf.Tensor) -> tf.Tensor:
    """A lower bound on mutual information: `H(s) + E[log q(s | M_s)]`.

    Args:
        probabilities: `(groups,)`, the distribution of s: not negative, of sum 1.
        log_q: `(groups,)`, the log probability that q gives the true s.

    Returns:
        A scalar, in nats; at most H(s).

    References:
        Barber and Agakov, "The IM Algorithm: A Variational Approach to Information
        Maximization", NIPS 2003, equation 3.
    """
    entropy = -tf.reduce_sum(tf.math.xlogy(probabilities, probabilities))
    return entropy + tf.reduce_sum(probabilities * log_q)


@keras.saving.register_keras_serializable(package="midpg_tf")
class MutualInformation(keras.layers.Layer):
    """Estimates I(s; M) in nats; subtract it from a loss to keep matrices apart.

    M_s is a function of s, so the true I(s; M) is H(s) as soon as no two matrices are
    equal, and nothing would be gained by maximising it. Three limits make the bound
    speak of distance: q sees a small sketch of each matrix, a fixed random projection
    `A (M - 1) B / sqrt(rows * units)`, whose expected squared entry is the mean square
    of M - 1; in training, noise of `noise_stddev` is added to it; and q is linear, one
    softmax a scenario field:

        I_hat = H(s) + sum over s of p(s) * sum over fields f of log q_f(s_f | M_s)

    with p the shares of the batch's rows. So scenarios whose matrices differ by much
    less than `noise_stddev` (root mean square) count as the same. The paper states
    the objective; this estimator is a choice of this package.

    Args:
        sizes: Number of known values of each scenario field.
        sketch: Rows and columns of a sketch. Default 4.
        noise_stddev: Standard deviation of the noise, in units of M's entries.
            Default 0.1.

    Input shape:
        A list of matrices `(groups, rows, units)`, one a layer; for each field, int64
        `(groups,)`; and float `(groups,)`, the scenarios' probabilities.

    Output shape:
        A scalar, float32, in nats.

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
        width = len(input_shape) * self.sketch**2
        self.kernels = [
            self.add_weight(name=f"q_{field}", shape=(width, size))
            for field, size in enumerate(self.sizes)
        ]
        self.biases = [
            self.add_weight(name=f"q_bias_{field}", shape=(size,), initializer="zeros")
            for field, size in enumerate(self.sizes)
        ]
        self.built = True

    def call(
        self,
        matrices: Sequence[tf.Tensor],
        ids: Sequence[tf.Tensor],
        probabilities: tf.Tensor,
        training: bool | None = None,
    ) -> tf.Tensor:
        sketches = [
            self._project(tf.cast(matrix, tf.float32), left, right)
            for matrix, (left, right) in zip(matrices, self.projections, strict=True)
        ]
        # In units of the noise, so that q's weights are of the order of one.
        seen = tf.concat(sketches, axis=-1) / self.noise_stddev  # (groups, width)
        if training:
            seen += tf.random.normal(tf.shape(seen))
        log_q = tf.add_n(
            [
                -tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels=field, logits=tf.matmul(seen, kernel) + bias
                )
                for field, kernel, bias in zip(
                    ids, self.kernels, self.biases, strict=True
                )
            ]
        )
        return barber_agakov_bound(tf.cast(probabilities, tf.float32), log_q)

    def _project(
        self, matrix: tf.Tensor, left: tf.Tensor, right: tf.Tensor
    ) -> tf.Tensor:
        size = left.shape[0] * right.shape[0]
        entries = tf.einsum("gio,ik,ol->gkl", matrix - 1, left, right)
        return tf.reshape(entries, (-1, self.sketch**2)) * size**-0.5

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "sizes": self.sizes,
            "sketch": self.sketch,
            "noise_stddev": self.noise_stddev,
        }

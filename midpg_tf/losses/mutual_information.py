"""The mutual information between a scenario and its weighting matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.losses.sketch import Sketch


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
class MutualInformation(Sketch):
    """Estimates I(s; M) in nats; subtract it from a loss to keep matrices apart.

    M_s is a function of s, so the true I(s; M) is H(s) as soon as no two matrices are
    equal, and nothing would be gained by maximising it. Three limits make the bound
    speak of distance: q sees a small sketch of the matrices (see `Sketch`); in
    training, noise of `noise_stddev` is added to it; and q is linear, one softmax a
    scenario field:

        I_hat = H(s) + sum over s of p(s) * sum over fields f of log q_f(s_f | M_s)

    with p the shares of the batch's rows. So scenarios whose matrices differ by much
    less than `noise_stddev` (root mean square) count as the same. The paper states
    the objective; this estimator is a choice of this package. `MIDPG` gives it at most
    16 x 16 entries of each layer's matrix, and the information is that of these.

    Args:
        sizes: Number of known values of each scenario field.
        sketch: Number of entries of a sketch. Default 64.
        noise_stddev: Standard deviation of the noise, in units of M's entries.
            Default 0.1.

    Input shape:
        A list of matrices or parts of them `(groups, rows, units)`, one a layer; for
        each field, int64 `(groups,)`; and float `(groups,)`, the scenarios'
        probabilities.

    Output shape:
        A scalar, float32, in nats.

    Raises:
        ValueError: If a size or the noise is not positive.
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.kernels = [
            self.add_weight(name=f"q_{field}", shape=(self.sketch, size))
            for field, size in enumerate(self.sizes)
        ]
        self.biases = [
            self.add_weight(name=f"q_bias_{field}", shape=(size,), initializer="zeros")
            for field, size in enumerate(self.sizes)
        ]

    def call(
        self,
        matrices: Sequence[tf.Tensor],
        ids: Sequence[tf.Tensor],
        probabilities: tf.Tensor,
        training: bool | None = None,
    ) -> tf.Tensor:
        seen = self.see(matrices, training)  # (groups, sketch)
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

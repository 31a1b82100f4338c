"""A contrastive estimate of the information between a scenario and its matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.losses.sketch import Sketch


def info_nce_bound(probabilities: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """A lower bound on mutual information from scores of pairs.

    `sum over s of p(s) * log(exp f(s, M_s) / sum over t of p(t) exp f(s, M_t))`. Each
    scenario has one column, so that rows of the same scenario never are each other's
    negatives, and the expectation over matrices is exact.

    Args:
        probabilities: `(groups,)`, the distribution of s: not negative, of sum 1.
        scores: `(groups, groups)`, f of scenario (row) and matrix (column).

    Returns:
        A scalar, in nats; at most H(s).

    References:
        van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive
        Coding", 2018; Poole, Ozair, van den Oord, Alemi, Tucker, "On Variational Bounds
        of Mutual Information", ICML 2019, equation 4.
    """
    present = probabilities > 0
    log_p = tf.where(present, tf.math.log(tf.where(present, probabilities, 1.0)), -1e9)
    log_mean = tf.reduce_logsumexp(scores + log_p, axis=1)
    return tf.reduce_sum(probabilities * (tf.linalg.diag_part(scores) - log_mean))


@keras.saving.register_keras_serializable(package="midpg_tf")
class InfoNCE(Sketch):
    """Estimates I(s; M) in nats by telling a scenario's matrices from the others'.

    The score of a scenario and a matrix is the inner product of a trained vector (the
    sum of one for each value of a scenario field) and the sketch of matrices.

    Args:
        sizes: Number of known values of each scenario field.
        sketch: As of `Sketch`.
        noise_stddev: As of `Sketch`.

    Input shape:
        As of `MutualInformation`.

    Output shape:
        A scalar, float32, in nats.
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.vectors = [
            self.add_weight(name=f"vectors_{field}", shape=(size, self.sketch))
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
        scenario = tf.add_n(
            [
                tf.gather(vectors, field)
                for field, vectors in zip(ids, self.vectors, strict=True)
            ]
        )
        scores = tf.matmul(scenario, seen, transpose_b=True)
        return info_nce_bound(tf.cast(probabilities, tf.float32), scores)

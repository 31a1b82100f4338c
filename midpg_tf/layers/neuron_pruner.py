"""The weighting factors of AdaSparse."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import at_least


@keras.saving.register_keras_serializable(package="midpg_tf")
class NeuronPruner(keras.layers.Layer):
    """Turns scores into factors that scale neurons, or prune them.

        w = beta sigmoid(alpha v)
        factor = w if w > epsilon, else 0

    Pruning has no gradient of its own: factors pass back the gradient of w, pruned
    ones too, so that a neuron can come back (a straight-through estimator). With
    `beta` 2, scores of 0 give factors of 1, which change nothing.

    Args:
        alpha: Steepness: the larger, the closer to a choice of 0 or `beta`. Default
            1.0.
        beta: The largest factor. Default 2.0.
        epsilon: The largest w that is pruned. Default 0.25.

    Input shape:
        Scores, float of any shape.

    Output shape:
        As the input: 0, or above `epsilon` up to `beta`.

    Raises:
        ValueError: If alpha is not positive, or epsilon not from 0 to below beta, or
            one of them not finite.

    References:
        Yang, Peng, Wei, Liu, Wang, Zheng, "AdaSparse: Learning Adaptively Sparse
        Structures for Multi-Domain Click-Through Rate Prediction", CIKM 2022: the
        fusion of the binarization and the scaling form of its weighting factors.
        There alpha grows in training, here it stays.

    Example:

    >>> NeuronPruner()(tf.constant([-9.0, 0.0])).numpy().tolist()
    [0.0, 1.0]
    """

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 2.0,
        epsilon: float = 0.25,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        at_least(0, alpha=alpha, beta=beta, epsilon=epsilon)
        if not (0 < alpha < math.inf and 0 <= epsilon < beta < math.inf):
            raise ValueError(
                "expected finite alpha > 0 and 0 <= epsilon < beta, found"
                f" alpha={alpha}, beta={beta}, epsilon={epsilon}"
            )
        self.alpha = alpha
        self.beta = beta
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        soft = self.beta * tf.sigmoid(self.alpha * inputs)
        factors = tf.where(soft > self.epsilon, soft, tf.zeros_like(soft))
        return soft + tf.stop_gradient(factors - soft)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "alpha": self.alpha,
            "beta": self.beta,
            "epsilon": self.epsilon,
        }

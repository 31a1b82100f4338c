"""The generator of scenario-conditioned weighting matrices."""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf
import tf_keras as keras

Activation = Literal["sigmoid", "linear"]
ACTIVATIONS = ("sigmoid", "linear")


@keras.saving.register_keras_serializable(package="midpg_tf")
class WeightingMatrix(keras.layers.Layer):
    """Generates a matrix of weights for a dense layer's kernel and bias.

    For the scenario s with context z_s:

        C_s = reshape(z_s G)         (rank, rank)      scenario-specific core
        R_s = U C_s V                (rows, units)     U and V shared by all scenarios
        M_s = 2 sigmoid(R_s), or 1 + R_s

    with `rows = input_dim + 1`: the last row weights the bias. `G` starts at zero, so
    every `M_s` starts as all ones. A scenario that isn't known has `R_s = 0`, so its
    matrix is exactly neutral, always.

    The decomposition into scenario-shared and scenario-specific low-rank matrices is
    the paper's; their product, the activation and the initialisation are a
    reconstruction, since the paper's formulas weren't available.

    Args:
        input_dim: Width of the dense layer's input.
        units: Width of its output.
        rank: Rank of R_s. Default 8.
        activation: `sigmoid` for 2 sigmoid(R), between 0 and 2; `linear` for 1 + R.
            Default `sigmoid`.

    Input shape:
        The context `(groups, context)`, and bool `(groups,)`: which are known.

    Output shape:
        `(groups, input_dim + 1, units)`.

    Example:

    >>> matrices = WeightingMatrix(input_dim=3, units=2, rank=4)
    >>> matrices(tf.ones((1, 5)), tf.constant([True])).numpy().tolist()
    [[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]]

    References:
        Cheng et al., "MI-DPG: Decomposable Parameter Generation Network Based on
        Mutual Information for Multi-Scenario Recommendation", CIKM 2023.

    Raises:
        ValueError: If a size is not positive, or the activation is unknown.
    """

    def __init__(
        self,
        input_dim: int,
        units: int,
        rank: int = 8,
        activation: Activation = "sigmoid",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(input_dim, units, rank) < 1:
            raise ValueError(
                "expected positive input_dim, units and rank, found"
                f" input_dim={input_dim}, units={units}, rank={rank}"
            )
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"expected an activation out of {ACTIVATIONS}, found {activation!r}"
            )
        self.input_dim = input_dim
        self.units = units
        self.rank = rank
        self.activation = activation

    def build(self, input_shape: Any) -> None:
        # With entries of variance 1 / rank, R has the variance of C's entries.
        factor = keras.initializers.RandomNormal
        self.left = self.add_weight(
            name="left",
            shape=(self.input_dim + 1, self.rank),
            initializer=factor(stddev=self.rank**-0.5),
        )
        self.right = self.add_weight(
            name="right",
            shape=(self.rank, self.units),
            initializer=factor(stddev=self.rank**-0.5),
        )
        self.core = self.add_weight(
            name="core",
            shape=(int(input_shape[-1]), self.rank * self.rank),
            initializer="zeros",
        )
        self.built = True

    def call(self, context: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        core = tf.matmul(context, tf.cast(self.core, context.dtype))
        # Zeroing the core, not the matrix, makes R and thus M exactly neutral.
        core = tf.where(known[:, tf.newaxis], core, tf.zeros_like(core))
        core = tf.reshape(core, (-1, self.rank, self.rank))
        left = tf.cast(self.left, context.dtype)
        right = tf.cast(self.right, context.dtype)
        low_rank = tf.einsum("ik,gkl,lo->gio", left, core, right, optimize="optimal")
        if self.activation == "sigmoid":
            return 2 * tf.sigmoid(low_rank)
        return 1 + low_rank

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        return tf.TensorShape((input_shape[0], self.input_dim + 1, self.units))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "input_dim": self.input_dim,
            "units": self.units,
            "rank": self.rank,
            "activation": self.activation,
        }

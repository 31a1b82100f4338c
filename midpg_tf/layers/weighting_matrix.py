"""The generator of scenario-conditioned weighting matrices."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import fresh
from midpg_tf.layers.checks import one_of, whole

Activation = Literal["sigmoid", "linear"]
Decomposition = Literal["both", "specific", "shared"]

_SAMPLED = 16


class Weights(NamedTuple):
    """The matrix of each group, in two pieces; or of one, without the first axis.

    Attributes:
        kernel: `(groups, input_dim, units)`.
        bias: `(groups, 1, units)`.
    """

    kernel: tf.Tensor
    bias: tf.Tensor


class Factors(NamedTuple):
    """What the matrix of each group is the product of, before the activation.

    Or that of one group, without the first axis of `specific`.

    Attributes:
        left: `(groups, input_dim + 1, n)`.
        right: `(n, units)`, or `(groups, n, units)` if nothing is shared.
    """

    left: tf.Tensor
    right: tf.Tensor

    @property
    def specific(self) -> tuple[tf.Tensor, ...]:
        """What each group has of its own: `left`, or both."""
        return tuple(factor for factor in self if factor.shape.rank == 3)

    @property
    def shared(self) -> tuple[tf.Tensor, ...]:
        """What all groups have in common: `right`, or nothing."""
        return self[len(self.specific) :]


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
            Default `linear`.
        decomposition: `both` as above. For ablation: `specific`, `R_s = A_s B_s` with
            nothing shared, both factors linear in z_s; `shared`, one core C for all
            known scenarios. Default `both`.
        kernel_regularizer: Of U, V and G, or of what `decomposition` puts in their
            place. It pulls matrices to ones, scenarios to what they have in common.
            Default: none.

    Input shape:
        The context `(groups, context)`, and bool `(groups,)`: which are known.

    Output shape:
        `Weights`: `(groups, input_dim, units)` and `(groups, 1, units)`.

    Raises:
        ValueError: If a size is not positive, or activation or decomposition unknown.

    References:
        Cheng et al., "MI-DPG: Decomposable Parameter Generation Network Based on
        Mutual Information for Multi-Scenario Recommendation", CIKM 2023.

    Example:

    >>> matrices = WeightingMatrix(input_dim=3, units=2, rank=4)
    >>> matrices(tf.ones((1, 5)), tf.constant([True])).kernel.numpy().tolist()
    [[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]]
    """

    def __init__(
        self,
        input_dim: int,
        units: int,
        rank: int = 8,
        activation: Activation = "linear",
        decomposition: Decomposition = "both",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, input_dim=input_dim, units=units, rank=rank)
        one_of(get_args(Activation), activation=activation)
        one_of(get_args(Decomposition), decomposition=decomposition)
        self.input_dim = input_dim
        self.units = units
        self.rank = rank
        self.activation = activation
        self.decomposition = decomposition
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Any) -> None:
        context, rows = int(input_shape[-1]), self.input_dim + 1
        # With entries of variance 1 / rank, R has the variance of C's entries.
        factor = keras.initializers.RandomNormal(stddev=self.rank**-0.5)
        if self.decomposition == "specific":
            self.left = self._add("left", (context, rows * self.rank), "zeros")
            self.right = self._add("right", (context, self.rank * self.units), factor)
        else:
            self.left = self._add("left", (rows, self.rank), factor)
            self.right = self._add("right", (self.rank, self.units), factor)
            is_shared = self.decomposition == "shared"
            shape = (1 if is_shared else context, self.rank**2)
            self.core = self._add("core", shape, "zeros")
        self.built = True

    def _add(self, name: str, shape: tuple[int, int], initializer: Any) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=fresh(initializer),
            regularizer=self.kernel_regularizer,
        )

    def call(self, context: tf.Tensor, known: tf.Tensor) -> Weights:
        factors = self.factors(context, known)
        return Weights(*map(self.product, self.split(factors)))

    def split(self, factors: Factors) -> tuple[Factors, Factors]:
        """The factors of the kernel's weights, and of the bias'."""
        # A split's gradient is one concatenation; that of two slices, two paddings.
        of_kernel, of_bias = tf.split(factors.left, [self.input_dim, 1], axis=-2)
        return Factors(of_kernel, factors.right), Factors(of_bias, factors.right)

    def product(self, factors: Factors) -> tf.Tensor:
        """The weights that these factors are of, `(groups, rows, units)`."""
        left, right = factors
        if left.shape.rank == right.shape.rank:
            matrices = tf.matmul(left, right)
        else:
            shape = tf.concat([tf.shape(left)[:-1], [tf.shape(right)[-1]]], axis=0)
            # One product of many rows, not many of few.
            flat = tf.matmul(tf.reshape(left, (-1, left.shape[-1])), right)
            matrices = tf.reshape(flat, shape)
        return matrices if self.activation == "linear" else 2 * tf.sigmoid(matrices)

    @property
    def sampled(self) -> tuple[None, int, int]:
        """Shape of `sample`'s result."""
        rows, columns = (_spread(n) for n in (self.input_dim + 1, self.units))
        return None, len(rows), len(columns)

    def sample(self, factors: Factors) -> tf.Tensor:
        """Entries of the matrices at up to 16 rows and columns, evenly spread.

        Enough to tell matrices apart by, at a fraction of the cost of all entries.

        Args:
            factors: Of `factors`.

        Returns:
            `(groups, min(16, input_dim + 1), min(16, units))`.
        """
        left, right = factors
        rows, columns = (_spread(n) for n in (self.input_dim + 1, self.units))
        return self.product(
            Factors(tf.gather(left, rows, axis=-2), tf.gather(right, columns, axis=-1))
        )

    def factors(self, context: tf.Tensor, known: tf.Tensor) -> Factors:
        """U C_s and V, or what `decomposition` puts in their place.

        Args:
            context: As of a call.
            known: As of a call.

        Returns:
            Factors whose product is R_s, or with the `linear` activation M_s.
        """
        left, right = self._low_rank(context, known)
        if self.activation == "linear":
            # 1 + A B as one product: a pass less over tensors of the matrices' size.
            left = tf.concat([left, tf.ones_like(left[..., :1])], axis=-1)
            right = tf.concat([right, tf.ones_like(right[..., :1, :])], axis=-2)
        return Factors(left, right)

    def _low_rank(
        self, context: tf.Tensor, known: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(groups, rows, rank)`, all zeros for unknown scenarios, and V or B_s."""
        left = tf.cast(self.left, context.dtype)
        right = tf.cast(self.right, context.dtype)
        if self.decomposition == "specific":
            left = tf.matmul(context, left)
            left = tf.where(known[:, tf.newaxis], left, tf.zeros_like(left))
            right = tf.reshape(tf.matmul(context, right), (-1, self.rank, self.units))
            return tf.reshape(left, (-1, self.input_dim + 1, self.rank)), right
        core = tf.cast(self.core, context.dtype)
        if self.decomposition == "both":
            core = tf.matmul(context, core)
        # Zeroing the core, not the matrix, makes R and thus M exactly neutral.
        core = tf.where(known[:, tf.newaxis], core, tf.zeros_like(core))
        # U C_s of all groups as one product: faster than a batch of small ones.
        core = tf.reshape(core, (-1, self.rank, self.rank))
        core = tf.reshape(tf.transpose(core, (1, 0, 2)), (self.rank, -1))
        left = tf.reshape(tf.matmul(left, core), (self.input_dim + 1, -1, self.rank))
        return tf.transpose(left, (1, 0, 2)), right

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "input_dim": self.input_dim,
            "units": self.units,
            "rank": self.rank,
            "activation": self.activation,
            "decomposition": self.decomposition,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _spread(size: int) -> np.ndarray:
    return np.linspace(0, size - 1, min(_SAMPLED, size)).round().astype(np.int32)

"""A dense layer of low rank, whose core comes from the scenario."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import fresh
from midpg_tf.layers.checks import whole
from midpg_tf.layers.scenario_groups import ScenarioGroups


@keras.saving.register_keras_serializable(package="midpg_tf")
class LowRankDense(keras.layers.Layer):
    """`activation(((x U) S_s) V + b)`: U, V and b shared, the core S_s by scenario.

    Only the product with the core needs rows grouped by scenario, and there they are
    no wider than the rank. With `overparameterization` P, `U = U1 U2` and `V = V1 V2`
    through an inner width of P: more parameters to train by, the same function.

    Args:
        units: Width of the output.
        rank: Rows and columns of a core.
        overparameterization: Inner width of U and V; 0 for none. Default 0.
        activation: As in `keras.layers.Dense`. Default: none.
        kernel_initializer: Draws each factor of U and V on its own. Default
            `glorot_uniform`.
        kernel_regularizer: Of the factors of U and V. Default: none.

    Input shape:
        Rows `(batch, input_dim)`, cores `(groups, rank, rank)`, and the
        `ScenarioGroups` of the rows.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If a size is not positive, or the inner width is less than the rank.

    References:
        Yan, Wang, Zhang, Li, Deng, Xu, Zheng, "APG: Adaptive Parameter Generation
        Network for Click-Through Rate Prediction", NeurIPS 2022: low-rank
        parameterization, decomposed feed-forwarding, parameter sharing and over
        parameterization.

    Example:

    >>> from midpg_tf.layers import group_by_scenario
    >>> layer = LowRankDense(1, rank=1, kernel_initializer="ones")
    >>> rows, scenario = tf.constant([[3.0], [3.0]]), tf.constant([5, 7])
    >>> cores = tf.constant([[[1.0]], [[2.0]]])
    >>> layer(rows, cores, group_by_scenario(scenario)).numpy().tolist()
    [[3.0], [6.0]]
    """

    def __init__(
        self,
        units: int,
        rank: int,
        overparameterization: int = 0,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, units=units, rank=rank)
        if overparameterization and overparameterization < rank:
            raise ValueError(
                "expected an overparameterization of 0 or at least the rank, found"
                f" overparameterization={overparameterization}, rank={rank}"
            )
        self.units = units
        self.rank = rank
        self.overparameterization = overparameterization
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Any) -> None:
        self.left = self._factors("left", int(input_shape[-1]), self.rank)
        self.right = self._factors("right", self.rank, self.units)
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        self.built = True

    def call(
        self, inputs: tf.Tensor, cores: tf.Tensor, groups: ScenarioGroups
    ) -> tf.Tensor:
        groups = ScenarioGroups(*groups)  # Keras' files keep a named tuple as a list.
        tiles = groups.split(tf.matmul(inputs, _product(self.left, inputs.dtype)))
        core = tf.gather(tf.cast(cores, inputs.dtype), groups.tile_group)
        narrow = groups.join(tf.matmul(tiles, core))  # (batch, rank)
        wide = tf.matmul(narrow, _product(self.right, inputs.dtype))
        return self.activation(wide + tf.cast(self.bias, inputs.dtype))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "rank": self.rank,
            "overparameterization": self.overparameterization,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

    def _factors(self, name: str, rows: int, columns: int) -> list[tf.Variable]:
        inner = self.overparameterization
        shapes = [(rows, inner), (inner, columns)] if inner else [(rows, columns)]
        return [
            self.add_weight(
                name=f"{name}_{position}",
                shape=shape,
                initializer=fresh(self.kernel_initializer),
                regularizer=self.kernel_regularizer,
            )
            for position, shape in enumerate(shapes)
        ]


def _product(factors: list[tf.Variable], dtype: tf.DType) -> tf.Tensor:
    return functools.reduce(tf.matmul, [tf.cast(factor, dtype) for factor in factors])

"""How rows, grouped by scenario, run through layers that may be weighted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.generated_products import generated_products
from midpg_tf.layers.modulated_dense import ModulatedDense, weigh
from midpg_tf.layers.scenario_groups import (
    Grouping,
    OneScenario,
    Rows,
    ScenarioChunks,
    ScenarioGroups,
    ScenarioParts,
)
from midpg_tf.layers.weighting_matrix import Factors, WeightingMatrix, Weights

Run: TypeAlias = Callable[[Rows], Rows]
"""What takes rows through a layer, as a grouping's `split` or a layer gave them."""


def shared_run(dense: keras.layers.Layer, groups: Grouping) -> Run:
    """Runs a layer whose weights all scenarios share."""
    return lambda rows: groups.map(dense, rows)


def generated_run(
    dense: ModulatedDense,
    groups: Grouping,
    generator: WeightingMatrix,
    factors: Factors,
) -> Run:
    """Runs a layer with weights that are made of factors as they are needed.

    Args:
        dense: The layer.
        groups: The grouping of the rows.
        generator: Makes the weighting matrices.
        factors: Of the matrices of the grouping's `scenarios`, as of `generator`.
    """

    def weighted_kernel(*sources: tf.Tensor) -> tf.Tensor:
        *parts, kernel = sources
        return weigh(kernel, generator.product(Factors(*parts)))

    def run(rows: Rows) -> Rows:
        of_kernel, of_bias = generator.split(factors)
        kernel = tf.cast(dense.kernel, dense.compute_dtype)
        rows = groups.map(lambda part: tf.cast(part, kernel.dtype), rows)
        # Biases, which are small, are made for all groups at once. Factors are
        # repeated, not matrices, which are many times larger.
        biases = groups.repeat(dense.weigh_bias(generator.product(of_bias)))
        specific = list(map(groups.repeat, of_kernel.specific))
        shared = [*of_kernel.shared, kernel]
        if isinstance(groups, ScenarioChunks | ScenarioParts):
            own = map(groups.slices, specific)
            products = generated_products(weighted_kernel, rows, own, shared)
        else:
            products = tf.matmul(rows, weighted_kernel(*specific, *shared))
        return groups.map(dense.finish, products, biases)

    return run


def looked_up_run(
    dense: ModulatedDense, groups: ScenarioGroups | OneScenario, table: Weights
) -> Run:
    """Runs a layer with the weights that a table has of all scenarios.

    Args:
        dense: The layer.
        groups: The grouping of the rows.
        table: As of `dense.weigh`, by scenario.
    """

    def multiply(part: tf.Tensor, *weighted: tf.Tensor) -> tf.Tensor:
        return dense.multiply(part, Weights(*weighted))

    return lambda rows: groups.map(multiply, rows, *map(groups.look_up, table))

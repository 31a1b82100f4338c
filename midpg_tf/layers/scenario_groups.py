"""The rows of a batch, grouped by scenario, for one matrix product a group.

Three groupings with the same methods. Tiles serve any number of scenarios in any batch;
parts cost less in training, where there are few scenarios and all are in each batch;
and a batch of one scenario, the usual request, needs no grouping.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class ScenarioGroups(NamedTuple):
    """Tiles of rows that share a scenario.

    Each tile holds rows of one scenario; a scenario with many rows has several
    tiles; the last of a scenario's tiles is padded. So a batched matrix product over
    tiles does each group's product at once, with no loop and little padding, however
    uneven the groups are. One grouping serves every layer of a model.

    Attributes:
        scenarios: int64 `(groups,)`, the distinct scenarios of the batch.
        counts: int32 `(groups,)`, their numbers of rows.
        tile_group: int32 `(tiles,)`, each tile's position in `scenarios`.
        row_of_slot: int32 `(tiles, rows)`, the batch's row in each slot; a padded
            slot repeats row 0, and nothing is read back from it.
        slot_of_row: int32 `(batch,)`, where each row of the batch is, flattened.
    """

    scenarios: tf.Tensor
    counts: tf.Tensor
    tile_group: tf.Tensor
    row_of_slot: tf.Tensor
    slot_of_row: tf.Tensor

    def copy(self, values: tf.Tensor) -> tf.Tensor:
        """From `(groups, ...)` to `(tiles, ...)`: each tile gets its scenario's."""
        return tf.cond(
            tf.size(self.tile_group) == tf.size(self.scenarios),
            lambda: values,
            lambda: _copy(values, self.tile_group),
        )

    def split(self, rows: tf.Tensor) -> tf.Tensor:
        """From `(batch, width)` to `(tiles, rows, width)`."""
        return _split(rows, self.row_of_slot, self.slot_of_row)

    def join(self, tiles: tf.Tensor) -> tf.Tensor:
        """From `(tiles, rows, width)` back to `(batch, width)`."""
        flat = tf.reshape(tiles, (-1, tiles.shape[-1]))
        return tf.gather(flat, self.slot_of_row)


class ScenarioParts(NamedTuple):
    """A tensor of rows for each scenario there is, also for those without a row.

    Attributes:
        scenarios: int64 `(groups,)`: all of them.
        counts: int32 `(groups,)`, their numbers of rows, of which some may be 0.
        part_of_row: int32 `(batch,)`.
    """

    scenarios: tf.Tensor
    counts: tf.Tensor
    part_of_row: tf.Tensor

    def split(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """From `(batch, width)` to `(rows of the group, width)` for each group."""
        return tf.dynamic_partition(rows, self.part_of_row, self.scenarios.shape[0])

    def copy(self, values: tf.Tensor) -> list[tf.Tensor]:
        """From `(groups, ...)` to a tensor for each group."""
        return tf.unstack(values, self.scenarios.shape[0])

    def join(self, parts: list[tf.Tensor]) -> tf.Tensor:
        """From `(rows of the group, width)` for each group back to `(batch, width)`."""
        places = self.split(tf.range(tf.size(self.part_of_row)))
        joined = tf.dynamic_stitch(places, parts)
        return tf.ensure_shape(joined, (None, parts[0].shape[-1]))


def part_by_scenario(scenario: tf.Tensor, count: int) -> ScenarioParts:
    """Parts the rows of a batch by scenario.

    Args:
        scenario: int64 `(batch,)`, from 0 to below `count`.
        count: Number of scenarios. The graph grows with it.
    """
    part_of_row = tf.cast(scenario, tf.int32)
    return ScenarioParts(
        scenarios=tf.range(count, dtype=tf.int64),
        counts=tf.math.bincount(part_of_row, minlength=count, maxlength=count),
        part_of_row=part_of_row,
    )


class OneScenario(NamedTuple):
    """Rows that are all of one scenario.

    Attributes:
        scenarios: int64 `(1,)`.
        counts: int32 `(1,)`.
    """

    scenarios: tf.Tensor
    counts: tf.Tensor

    @classmethod
    def of(cls, scenario: tf.Tensor) -> OneScenario:
        """From int64 `(batch,)`, at least one row, all of them equal."""
        return cls(scenario[:1], tf.shape(scenario))

    def split(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """From `(batch, width)` to a list of just that."""
        return [rows]

    def copy(self, values: tf.Tensor) -> list[tf.Tensor]:
        """From `(1, ...)` to a list of `(...)`."""
        return [tf.squeeze(values, axis=0)]

    def join(self, parts: list[tf.Tensor]) -> tf.Tensor:
        """The inverse of `split`."""
        return parts[0]


def is_one_scenario(scenario: tf.Tensor) -> tf.Tensor:
    """Whether there are rows, and all are of one scenario.

    Args:
        scenario: int64 `(batch,)`.
    """
    return (tf.size(scenario) > 0) & tf.reduce_all(scenario == scenario[:1])


@tf.custom_gradient
def _split(
    rows: tf.Tensor, row_of_slot: tf.Tensor, slot_of_row: tf.Tensor
) -> tuple[tf.Tensor, Any]:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None, None]:
        # Nothing is read back from padded slots, so each row's gradient is in one slot;
        # a gather's own gradient would add up all slots.
        flat = tf.reshape(upstream, (-1, rows.shape[-1]))
        return tf.gather(flat, slot_of_row), None, None

    return tf.gather(rows, row_of_slot), gradient


@tf.custom_gradient
def _copy(values: tf.Tensor, tile_group: tf.Tensor) -> tuple[tf.Tensor, Any]:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        # A gather's own gradient doesn't know that the groups are in order, and takes
        # three times as long.
        return tf.math.segment_sum(upstream, tile_group), None

    return tf.gather(values, tile_group), gradient


def _rows_of_a_tile(batch: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """The size that costs least.

    One tile a group needs no copies of kernels, and pads little where groups are about
    even (or there is one: the usual request). Otherwise, with n rows a group, tiles of
    r rows pad r / 2 rows a group and copy n / r kernels a group; a copy takes the time
    of about 14 rows (measured), so r = sqrt(28 n) is best.
    """
    largest = tf.reduce_max(tf.concat([counts, [1]], axis=0))
    mean = batch / tf.maximum(tf.size(counts), 1)
    best = tf.cast(tf.math.ceil(tf.sqrt(28 * mean)), tf.int32)
    is_even = tf.cast(largest, mean.dtype) <= 2.5 * mean
    return tf.where(is_even, largest, tf.minimum(tf.maximum(best, 1), largest))


def group_by_scenario(scenario: tf.Tensor) -> ScenarioGroups:
    """Groups the rows of a batch by scenario.

    Args:
        scenario: int64 `(batch,)`.

    Returns:
        The groups, in the order in which the batch shows their scenarios.
    """
    scenarios, group_of_row, counts = tf.unique_with_counts(scenario)
    batch = tf.size(scenario)
    rows = _rows_of_a_tile(batch, counts)
    tiles = -(-counts // rows)

    order = tf.argsort(group_of_row, stable=True)  # (batch,)
    group = tf.gather(group_of_row, order)
    first_row = tf.cumsum(counts, exclusive=True)  # (groups,), in this order
    first_slot = tf.cumsum(tiles, exclusive=True) * rows
    slot = tf.range(batch) + tf.gather(first_slot - first_row, group)

    slots = tf.reduce_sum(tiles) * rows
    row_of_slot = tf.scatter_nd(slot[:, tf.newaxis], order, [slots])
    slot_of_row = tf.scatter_nd(order[:, tf.newaxis], slot, [batch])
    return ScenarioGroups(
        scenarios=scenarios,
        counts=counts,
        tile_group=tf.repeat(tf.range(tf.size(scenarios)), tiles),
        row_of_slot=tf.reshape(row_of_slot, (-1, rows)),
        slot_of_row=slot_of_row,
    )

"""The rows of a batch, grouped by scenario, for one matrix product a group."""

from __future__ import annotations

from typing import NamedTuple

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

    def tile(self, rows: tf.Tensor) -> tf.Tensor:
        """From `(batch, width)` to `(tiles, rows, width)`."""
        return tf.gather(rows, self.row_of_slot)

    def untile(self, tiles: tf.Tensor) -> tf.Tensor:
        """From `(tiles, rows, width)` back to `(batch, width)`."""
        flat = tf.reshape(tiles, (-1, tiles.shape[-1]))
        return tf.gather(flat, self.slot_of_row)


def group_by_scenario(scenario: tf.Tensor) -> ScenarioGroups:
    """Groups the rows of a batch by scenario.

    Args:
        scenario: int64 `(batch,)`.

    Returns:
        The groups, in the order in which the batch shows their scenarios.
    """
    scenarios, group_of_row, counts = tf.unique_with_counts(scenario)
    batch, groups = tf.size(scenario), tf.size(scenarios)
    # Half of a group's mean size bounds the padding to half a batch, and a batch
    # of one scenario (the usual request) is one tile without any.
    rows = tf.where(groups > 1, -(-batch // tf.maximum(2 * groups, 1)), batch)
    rows = tf.maximum(rows, 1)
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
        tile_group=tf.repeat(tf.range(groups), tiles),
        row_of_slot=tf.reshape(row_of_slot, (-1, rows)),
        slot_of_row=slot_of_row,
    )

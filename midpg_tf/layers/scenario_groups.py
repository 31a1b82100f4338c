"""The rows of a batch, grouped by scenario, for one matrix product a group.

Every grouping has `scenarios`, `counts`, `repeat`, `split`, `map` and `join`. Tiles
serve any number of scenarios in any batch; chunks of them, training with very many;
parts cost less in training, where there are few scenarios and all are in each batch,
but take rows in an order of their own (see `ScenarioParts.arrange`); and a batch of one
scenario, the usual request, needs no grouping. Tiles and one scenario, which requests
meet, also look up what is kept of all scenarios. Chunks and parts, which training
meets, have a list of rows, and `slices` of what `repeat` gave to go with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

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

    @property
    def tile_scenario(self) -> tf.Tensor:
        """int64 `(tiles,)`, each tile's scenario."""
        return tf.gather(self.scenarios, self.tile_group)

    @property
    def filled(self) -> tf.Tensor:
        """int32 `(tiles,)`, each tile's number of rows that aren't padding."""
        tiles, rows = tf.unstack(tf.shape(self.row_of_slot))
        return tf.math.bincount(self.slot_of_row // rows, minlength=tiles)

    def repeat(self, values: tf.Tensor) -> tf.Tensor:
        """From `(groups, ...)` to `(tiles, ...)`: each tile gets its scenario's."""
        return _repeat(values, self.tile_group)

    def look_up(self, table: tf.Tensor) -> tf.Tensor:
        """From a table `(scenarios, ...)` to what `repeat` gives."""
        return tf.gather(table, self.tile_scenario)

    def split(self, rows: tf.Tensor) -> tf.Tensor:
        """From `(batch, width)` to `(tiles, rows, width)`."""
        return _moved(rows, self.row_of_slot, self.slot_of_row)

    def map(
        self, function: Callable[..., tf.Tensor], rows: tf.Tensor, *values: tf.Tensor
    ) -> tf.Tensor:
        """Applies a function to all tiles, and values that `repeat` gave, at once."""
        return function(rows, *values)

    def join(self, tiles: tf.Tensor) -> tf.Tensor:
        """From `(tiles, rows, width)` back to `(batch, width)`."""
        flat = tf.reshape(tiles, (-1, tiles.shape[-1]))
        return tf.gather(flat, self.slot_of_row)


class ScenarioChunks(NamedTuple):
    """Tiles of rows, as of `ScenarioGroups`, a few at a time.

    What is made for all tiles at once, such as the kernels of hundreds, are tensors so
    large that the system takes back their memory, and clears it for the next one. A
    chunk is as wide as its largest tile, not as that of all.

    Attributes:
        groups: The tiles.
        tiles: int32 `(chunks,)`, numbers of tiles: all the same, but that the last
            chunk with any may have fewer, and those behind it none.
        rows: int32 `(chunks,)`, numbers of rows of a tile.
        row_of_slot: int32 `(slots,)`, the batch's row in each slot of all chunks; a
            padded slot repeats row 0, and nothing is read back from it.
        slot_of_row: int32 `(batch,)`, where each row of the batch is.
    """

    groups: ScenarioGroups
    tiles: tf.Tensor
    rows: tf.Tensor
    row_of_slot: tf.Tensor
    slot_of_row: tf.Tensor

    @classmethod
    def of(cls, groups: ScenarioGroups, chunks: int) -> ScenarioChunks:
        """Takes tiles in a number of chunks, in their order."""
        count, width = tf.unstack(tf.shape(groups.row_of_slot))
        each = -(-count // chunks)
        tiles = tf.clip_by_value(count - each * tf.range(chunks), 0, each)
        chunk_of_tile = tf.repeat(tf.range(chunks), tiles)
        largest = tf.math.unsorted_segment_max(groups.filled, chunk_of_tile, chunks)
        rows = tf.maximum(largest, 0)  # of no tiles, it is the lowest number there is
        kept = tf.gather(rows, chunk_of_tile)  # (tiles,)
        first_slot = tf.cumsum(kept, exclusive=True)
        tile, place = groups.slot_of_row // width, groups.slot_of_row % width
        return cls(
            groups,
            tiles=tiles,
            rows=rows,
            row_of_slot=groups.row_of_slot[tf.sequence_mask(kept, width)],
            slot_of_row=tf.gather(first_slot, tile) + place,
        )

    @property
    def scenarios(self) -> tf.Tensor:
        """int64 `(groups,)`, the distinct scenarios of the batch."""
        return self.groups.scenarios

    @property
    def counts(self) -> tf.Tensor:
        """int32 `(groups,)`, their numbers of rows."""
        return self.groups.counts

    def repeat(self, values: tf.Tensor) -> tf.Tensor:
        """From `(groups, ...)` to `(tiles, ...)`: each tile gets its scenario's."""
        return self.groups.repeat(values)

    def split(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """From `(batch, width)` to `(tiles, rows, width)` for each chunk."""
        slots = _moved(rows, self.row_of_slot, self.slot_of_row)
        parts = tf.split(slots, self.tiles * self.rows, num=self._chunks)
        shapes = zip(*map(tf.unstack, (self.tiles, self.rows)), strict=True)
        return [
            tf.reshape(part, (*shape, rows.shape[-1]))
            for part, shape in zip(parts, shapes, strict=True)
        ]

    def map(
        self,
        function: Callable[..., tf.Tensor],
        rows: list[tf.Tensor],
        *values: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Applies a function to the tiles of each chunk, and to their values."""
        return list(map(function, rows, *map(self.slices, values)))

    def join(self, rows: list[tf.Tensor]) -> tf.Tensor:
        """From what `split` or `map` gave back to `(batch, width)`."""
        slots = [tf.reshape(part, (-1, part.shape[-1])) for part in rows]
        return tf.gather(tf.concat(slots, axis=0), self.slot_of_row)

    def slices(self, values: tf.Tensor) -> list[tf.Tensor]:
        """From `(tiles, ...)`, as of `repeat`, to those of each chunk."""
        return tf.split(values, self.tiles, num=self._chunks)

    @property
    def _chunks(self) -> int:
        return int(self.tiles.shape[0])


class ScenarioParts(NamedTuple):
    """A tensor of rows for each scenario; some scenarios may have none.

    Rows stay parted from `split` to `join`, however many layers are in between. Unlike
    in the other groupings, `split` takes rows that `arrange` has put in order, or what
    was computed from these row by row: ids are moved faster than their embeddings.

    Attributes:
        scenarios: int64 `(groups,)`: all there are.
        counts: int32 `(groups,)`, their numbers of rows.
        row_of_slot: int32 `(batch,)`, the batch's row in each place of that order.
        slot_of_row: int32 `(batch,)`, the inverse.
    """

    scenarios: tf.Tensor
    counts: tf.Tensor
    row_of_slot: tf.Tensor
    slot_of_row: tf.Tensor

    def repeat(self, values: tf.Tensor) -> tf.Tensor:
        """From `(groups, ...)` to the same."""
        return values

    def arrange(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Puts inputs `(batch, ...)` in the order of their scenarios."""
        return {
            name: tf.gather(values, self.row_of_slot) for name, values in inputs.items()
        }

    def split(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """From `(batch, width)`, in order, to `(rows, width)` for each scenario."""
        return tf.split(rows, self.counts, num=self.scenarios.shape[0])

    def map(
        self,
        function: Callable[..., tf.Tensor],
        rows: list[tf.Tensor],
        *values: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Applies a function to each scenario's rows.

        Args:
            function: Of rows `(rows of the group, width)` and a slice of each of the
                values; returns a tensor with a row for each row.
            rows: Of `split` or `map`.
            *values: `(groups, ...)` each.
        """
        return list(map(function, rows, *map(self.slices, values)))

    def join(self, rows: list[tf.Tensor]) -> tf.Tensor:
        """To `(batch, width)`, as the batch was before `arrange`."""
        return _moved(tf.concat(rows, axis=0), self.slot_of_row, self.row_of_slot)

    def slices(self, values: tf.Tensor) -> list[tf.Tensor]:
        """From `(groups, ...)` to `(...)` for each scenario."""
        return tf.unstack(values, self.scenarios.shape[0])


def part_by_scenario(scenario: tf.Tensor, count: int) -> ScenarioParts:
    """Parts the rows of a batch by scenario.

    Args:
        scenario: int64 `(batch,)`, from 0 to below `count`.
        count: Number of scenarios, the unknown one included. The graph grows with it.
    """
    row_of_slot = tf.argsort(tf.cast(scenario, tf.int32), stable=True)
    return ScenarioParts(
        scenarios=tf.range(count, dtype=tf.int64),
        counts=tf.math.bincount(
            tf.cast(scenario, tf.int32), minlength=count, maxlength=count
        ),
        row_of_slot=row_of_slot,
        slot_of_row=tf.math.invert_permutation(row_of_slot),
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

    def repeat(self, values: tf.Tensor) -> tf.Tensor:
        """From `(1, ...)` to `(...)`."""
        return tf.squeeze(values, axis=0)

    def look_up(self, table: tf.Tensor) -> tf.Tensor:
        """From a table `(scenarios, ...)` to what `repeat` gives."""
        # A slice shares the table's memory, where a gather would copy kernels.
        return table[tf.cast(self.scenarios[0], tf.int32)]

    def split(self, rows: tf.Tensor) -> tf.Tensor:
        """Does nothing."""
        return rows

    def map(
        self, function: Callable[..., tf.Tensor], rows: tf.Tensor, *values: tf.Tensor
    ) -> tf.Tensor:
        """Applies a function to the rows, and to values that `repeat` gave."""
        return function(rows, *values)

    def join(self, rows: tf.Tensor) -> tf.Tensor:
        """Does nothing."""
        return rows


Grouping: TypeAlias = ScenarioGroups | ScenarioChunks | ScenarioParts | OneScenario

Rows: TypeAlias = tf.Tensor | list[tf.Tensor]
"""What a grouping's `split` and `map` return."""


def is_one_scenario(scenario: tf.Tensor) -> tf.Tensor:
    """Whether there are rows, and all are of one scenario.

    Args:
        scenario: int64 `(batch,)`.
    """
    return (tf.size(scenario) > 0) & tf.reduce_all(scenario == scenario[:1])


@tf.custom_gradient
def _moved(
    rows: tf.Tensor, origin: tf.Tensor, place: tf.Tensor
) -> tuple[tf.Tensor, Any]:
    """Gathers the rows of `origin`; each row's `place` in the flat result is known."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None, None]:
        # Nothing is read back from padded slots, so each row's gradient is in one
        # place; a gather's own gradient would add up all, and be no dense tensor, which
        # the gradient of a saved function needs.
        flat = tf.reshape(upstream, (-1, rows.shape[-1]))
        return tf.gather(flat, place), None, None

    return tf.gather(rows, origin), gradient


@tf.custom_gradient
def _repeat(values: tf.Tensor, tile_group: tf.Tensor) -> tuple[tf.Tensor, Any]:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        # A gather's own gradient doesn't know that the groups are in order, and takes
        # three times as long.
        return tf.math.segment_sum(upstream, tile_group), None

    return tf.gather(values, tile_group), gradient


def _rows_of_a_tile(counts: tf.Tensor, tile_cost: float) -> tf.Tensor:
    """The size of tiles that costs least, of a dozen from one tile a group downwards.

    Small tiles pad little where groups are uneven, but there are more of them.
    """
    largest = tf.reduce_max(tf.concat([counts, [1]], axis=0))
    sizes = tf.cast(largest, tf.float32) * 2.0 ** (-tf.range(12.0) / 2)
    sizes = tf.cast(tf.math.ceil(sizes), tf.int32)
    tiles = tf.reduce_sum(-(-counts // sizes[:, tf.newaxis]), axis=1)
    costs = tf.cast(tiles, tf.float32) * (tf.cast(sizes, tf.float32) + tile_cost)
    return tf.gather(sizes, tf.argmin(costs))


def group_by_scenario(scenario: tf.Tensor, tile_cost: float = 14.0) -> ScenarioGroups:
    """Groups the rows of a batch by scenario.

    Args:
        scenario: int64 `(batch,)`.
        tile_cost: Time that a tile takes for its kernel, in rows that could be
            multiplied meanwhile. Default: that of a copy, as measured.

    Returns:
        The groups, those of the most rows first.
    """
    scenarios, group_of_row, counts = tf.unique_with_counts(scenario)
    place = tf.argsort(counts, direction="DESCENDING", stable=True)
    scenarios, counts = tf.gather(scenarios, place), tf.gather(counts, place)
    group_of_row = tf.gather(tf.math.invert_permutation(place), group_of_row)
    batch = tf.size(scenario)
    rows = _rows_of_a_tile(counts, tile_cost)
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

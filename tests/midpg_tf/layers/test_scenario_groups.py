import math

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers import group_by_scenario
from midpg_tf.layers.scenario_groups import (
    OneScenario,
    ScenarioChunks,
    is_one_scenario,
    part_by_scenario,
)

RNG = np.random.default_rng(7)
BATCHES = {
    "uniform": RNG.integers(0, 8, 256),
    "skewed": np.minimum(RNG.geometric(0.5, 256) - 1, 30),
    "one large, many small": np.r_[np.zeros(200), np.arange(1, 57)].astype(np.int64),
    "one scenario": np.full(100, 3),
    "all distinct": RNG.permutation(128),
    "two rows": np.array([9, 2]),
    "one row": np.array([5]),
    "interleaved": np.tile([4, 1], 33),
    "no rows": np.array([], np.int64),
}
batches = pytest.mark.parametrize("scenario", BATCHES.values(), ids=BATCHES)


@batches
def test_untile_undoes_tile(scenario: np.ndarray) -> None:
    groups = group_by_scenario(tf.constant(scenario, tf.int64))
    rows = tf.random.normal((len(scenario), 3))
    tiles = groups.split(rows)
    assert tiles.shape[::2] == (len(groups.tile_group), 3)
    np.testing.assert_array_equal(groups.join(tiles), rows)


@batches
def test_each_row_is_in_a_tile_of_its_scenario(scenario: np.ndarray) -> None:
    groups = group_by_scenario(tf.constant(scenario, tf.int64))
    scenario_of_tile = tf.gather(groups.scenarios, groups.tile_group).numpy()
    tile_rows = groups.row_of_slot.shape[1]
    slots = groups.slot_of_row.numpy()
    np.testing.assert_array_equal(scenario_of_tile[slots // tile_rows], scenario)
    # No two rows share a slot.
    assert len(set(slots)) == len(scenario)


@batches
def test_counts_rows_of_each_scenario(scenario: np.ndarray) -> None:
    groups = group_by_scenario(tf.constant(scenario, tf.int64))
    expected, counts = np.unique(scenario, return_counts=True)
    order = np.argsort(groups.scenarios)
    np.testing.assert_array_equal(groups.scenarios.numpy()[order], expected)
    np.testing.assert_array_equal(groups.counts.numpy()[order], counts)


def test_padding_is_bounded_however_uneven_the_groups_are() -> None:
    rng = np.random.default_rng(3)
    for batch in (1, 2, 7, 64, 500, 1024):
        for scenarios in (1, 2, 3, 17, 400):
            shares = rng.dirichlet(np.full(scenarios, rng.choice([0.05, 1.0, 50.0])))
            scenario = rng.choice(scenarios, batch, p=shares)
            groups = group_by_scenario(tf.constant(scenario, tf.int64))
            slots, found = np.prod(groups.row_of_slot.shape), len(groups.counts)
            # One tile of the largest group's rows a group, or tiles of the square root
            # of twice a tile's cost of 14 and the mean: neither costs less.
            size = math.ceil(math.sqrt(28 * batch / found))
            cost = len(groups.tile_group) * (slots / len(groups.tile_group) + 14)
            counts = groups.counts.numpy()
            for other in (counts.max(), min(size, counts.max())):
                tiles = np.ceil(counts / other).sum()
                assert cost <= 1.2 * tiles * (other + 14)
            assert slots >= batch


def test_a_request_of_one_scenario_is_one_tile_without_padding() -> None:
    groups = group_by_scenario(tf.fill([100], tf.constant(3, tf.int64)))
    np.testing.assert_array_equal(groups.row_of_slot, np.arange(100)[np.newaxis])
    np.testing.assert_array_equal(groups.tile_group, [0])


def test_hand_computed_tiles() -> None:
    # 4 groups of 64, 1, 1, 1 rows. A tile costs its rows and 14 more: of 64 rows
    # 4 * 78 = 312, of 46: 5 * 60 = 300, of 32: 5 * 46 = 230, of 23: 6 * 37 = 222,
    # of 16: 7 * 30 = 210, of 12: 9 * 26 = 234, and more of smaller ones.
    scenario = [7] * 40 + [2, 5, 3] + [7] * 24
    groups = group_by_scenario(tf.constant(scenario, tf.int64))
    np.testing.assert_array_equal(groups.scenarios, [7, 2, 5, 3])
    np.testing.assert_array_equal(groups.counts, [64, 1, 1, 1])
    np.testing.assert_array_equal(groups.tile_group, [0] * 4 + [1, 2, 3])
    np.testing.assert_array_equal(groups.tile_scenario, [7] * 4 + [2, 5, 3])
    expected = np.zeros((7, 16), int)
    expected[:4] = np.reshape([*range(40), *range(43, 67)], (4, 16))
    expected[4:, 0] = 40, 41, 42
    np.testing.assert_array_equal(groups.row_of_slot, expected)
    values = tf.constant([[1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(
        tf.squeeze(groups.repeat(values)), [1.0] * 4 + [2.0, 3.0, 4.0]
    )


def test_tiles_are_larger_where_they_cost_more() -> None:
    # As above: of 64 rows 4 * 128 = 512, of 46: 5 * 110 = 550, of 32: 5 * 96 = 480,
    # of 23: 6 * 87 = 522, and more of smaller ones.
    scenario = tf.constant([7] * 64 + [2, 5, 3], tf.int64)
    groups = group_by_scenario(scenario, tile_cost=64.0)
    np.testing.assert_array_equal(groups.row_of_slot.shape, [5, 32])


def test_one_tile_a_group_where_groups_are_about_even() -> None:
    groups = group_by_scenario(tf.constant([7, 7, 2, 7], tf.int64))
    np.testing.assert_array_equal(groups.tile_group, [0, 1])
    np.testing.assert_array_equal(groups.row_of_slot, [[0, 1, 3], [2, 0, 0]])
    np.testing.assert_array_equal(groups.slot_of_row, [0, 1, 3, 2])
    values = tf.constant([[1.0], [2.0]])
    np.testing.assert_array_equal(groups.repeat(values), values)


@pytest.mark.parametrize("name", ["interleaved", "one large, many small"])
def test_gradients_of_what_is_repeated_add_up_over_tiles(name: str) -> None:
    groups = group_by_scenario(tf.constant(BATCHES[name], tf.int64))
    values = tf.Variable(tf.random.normal((len(groups.counts), 2)))
    weights = tf.random.normal((len(groups.tile_group), 2))
    with tf.GradientTape() as tape:
        out = tf.reduce_sum(groups.repeat(values) * weights)
    expected = np.zeros(values.shape, np.float32)
    np.add.at(expected, groups.tile_group.numpy(), weights.numpy())
    np.testing.assert_allclose(tape.gradient(out, values), expected, rtol=1e-5)


def test_parts() -> None:
    groups = part_by_scenario(tf.constant([2, 0, 2, 2], tf.int64), 4)
    np.testing.assert_array_equal(groups.scenarios, [0, 1, 2, 3])
    np.testing.assert_array_equal(groups.counts, [1, 0, 3, 0])
    rows = tf.constant([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    inputs = groups.arrange({"rows": rows, "id": tf.constant([1, 2, 3, 4])})
    np.testing.assert_array_equal(inputs["id"], [2, 1, 3, 4])
    split = groups.split(inputs["rows"])
    assert [part[:, 0].numpy().tolist() for part in split] == [[2], [], [1, 3, 4], []]
    np.testing.assert_array_equal(groups.join(split), rows)
    values = tf.constant([[10.0], [20.0], [30.0], [40.0]])
    assert groups.repeat(values) is values
    added = groups.map(lambda part, value: part + value, split, values)
    np.testing.assert_array_equal(added[0], [[12, 10]])
    np.testing.assert_array_equal(added[2], [[31, 30], [33, 30], [34, 30]])
    np.testing.assert_array_equal(groups.join(added)[0], [31, 30])


@batches
@pytest.mark.parametrize("chunks", [1, 3, 16])
def test_chunks_are_the_tiles(scenario: np.ndarray, chunks: int) -> None:
    tiles = group_by_scenario(tf.constant(scenario, tf.int64))
    groups = ScenarioChunks.of(tiles, chunks)
    np.testing.assert_array_equal(groups.scenarios, tiles.scenarios)
    np.testing.assert_array_equal(groups.counts, tiles.counts)
    rows = tf.random.normal((len(scenario), 3))
    split = groups.split(rows)
    assert len(split) == chunks
    found = [tile for chunk in split for tile in chunk.numpy()]
    expected = tiles.split(rows).numpy()
    for tile, other, filled in zip(found, expected, tiles.filled, strict=True):
        np.testing.assert_array_equal(tile[:filled], other[:filled])
    sizes = [len(chunk) for chunk in split]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == math.ceil(len(tiles.tile_group) / chunks)
    values = groups.repeat(tf.random.normal((len(tiles.counts), 1, 1)))
    product = groups.map(tf.multiply, split, values)
    expected = tiles.join(tiles.split(rows) * values)
    np.testing.assert_array_equal(groups.join(product), expected)


def test_chunks_are_no_wider_than_their_largest_tile() -> None:
    # Five groups of 1 to 5 rows, one tile each; the first two chunks have two.
    scenario = [2, 2, 3, 3, 3, 1, 4, 4, 4, 4, 5, 5, 5, 5, 5]
    tiles = group_by_scenario(tf.constant(scenario, tf.int64), tile_cost=64.0)
    np.testing.assert_array_equal(tiles.scenarios, [5, 4, 3, 2, 1])
    np.testing.assert_array_equal(tiles.filled, [5, 4, 3, 2, 1])
    split = ScenarioChunks.of(tiles, 3).split(tf.zeros((len(scenario), 7)))
    assert [chunk.shape for chunk in split] == [(2, 5, 7), (2, 3, 7), (1, 1, 7)]


def test_one_scenario() -> None:
    groups = OneScenario.of(tf.constant([7, 7, 7], tf.int64))
    np.testing.assert_array_equal(groups.scenarios, [7])
    np.testing.assert_array_equal(groups.counts, [3])
    rows, values = tf.random.normal((3, 2)), tf.constant([[4.0, 5.0]])
    assert groups.join(groups.split(rows)) is rows
    repeated = groups.repeat(values)
    np.testing.assert_array_equal(repeated, [4.0, 5.0])
    added = groups.map(tf.add, rows, repeated)
    np.testing.assert_array_equal(added, rows + values)


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [([3, 3], True), ([3], True), ([3, 2], False), ([], False)],
)
def test_is_one_scenario(scenario: list[int], expected: bool) -> None:
    assert bool(is_one_scenario(tf.constant(scenario, tf.int64))) is expected


@pytest.mark.parametrize("grouping", [group_by_scenario, OneScenario.of])
def test_a_table_is_looked_up_as_values_are_repeated(grouping) -> None:
    table = tf.random.normal((3, 5, 2))
    groups = grouping(tf.constant([2, 2, 2], tf.int64))
    expected = groups.repeat(tf.gather(table, groups.scenarios))
    np.testing.assert_array_equal(groups.look_up(table), expected)
    np.testing.assert_array_equal(groups.look_up(tf.Variable(table)), expected)


def test_padding_gets_no_gradient() -> None:
    rows = tf.Variable([[1.0], [2.0], [3.0]])
    groups = group_by_scenario(tf.constant([1, 1, 0], tf.int64))
    with tf.GradientTape() as tape:
        out = groups.join(groups.split(rows) ** 2)
    # d(x^2) = 2 x: each row counts once, though padded slots repeat row 0.
    gradient = tf.convert_to_tensor(tape.gradient(out, rows))
    np.testing.assert_allclose(gradient, [[2.0], [4.0], [6.0]])


def test_one_graph_for_every_batch() -> None:
    traces = []

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None, 2], tf.float32),
        ]
    )
    def round_trip(scenario: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        traces.append(1)
        groups = group_by_scenario(scenario)
        return groups.join(groups.split(rows))

    for scenario in BATCHES.values():
        rows = tf.random.normal((len(scenario), 2))
        np.testing.assert_array_equal(round_trip(scenario, rows), rows)
    assert len(traces) == 1

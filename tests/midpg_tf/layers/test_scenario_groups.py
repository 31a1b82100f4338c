import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers import group_by_scenario

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
    tiles = groups.tile(rows)
    assert tiles.shape[::2] == (len(groups.tile_group), 3)
    np.testing.assert_array_equal(groups.untile(tiles), rows)


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
            slots = np.prod(groups.row_of_slot.shape)
            assert batch <= slots <= 1.5 * batch, (batch, scenarios)


def test_a_request_of_one_scenario_is_one_tile_without_padding() -> None:
    groups = group_by_scenario(tf.fill([100], tf.constant(3, tf.int64)))
    np.testing.assert_array_equal(groups.row_of_slot, np.arange(100)[np.newaxis])
    np.testing.assert_array_equal(groups.tile_group, [0])


def test_hand_computed_tiles() -> None:
    # 6 rows, 2 groups: tiles of ceil(6 / 4) = 2 rows. Scenario 7 has rows 0, 1, 3, 4,
    # 5, so three tiles, the last with a padded slot; scenario 2 has row 2 and a pad.
    groups = group_by_scenario(tf.constant([7, 7, 2, 7, 7, 7], tf.int64))
    np.testing.assert_array_equal(groups.scenarios, [7, 2])
    np.testing.assert_array_equal(groups.tile_group, [0, 0, 0, 1])
    np.testing.assert_array_equal(groups.row_of_slot, [[0, 1], [3, 4], [5, 0], [2, 0]])
    np.testing.assert_array_equal(groups.slot_of_row, [0, 1, 6, 2, 3, 4])


def test_padding_gets_no_gradient() -> None:
    rows = tf.Variable([[1.0], [2.0], [3.0]])
    groups = group_by_scenario(tf.constant([1, 1, 0], tf.int64))
    with tf.GradientTape() as tape:
        out = groups.untile(groups.tile(rows) ** 2)
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
        return groups.untile(groups.tile(rows))

    for scenario in BATCHES.values():
        rows = tf.random.normal((len(scenario), 2))
        np.testing.assert_array_equal(round_trip(scenario, rows), rows)
    assert len(traces) == 1

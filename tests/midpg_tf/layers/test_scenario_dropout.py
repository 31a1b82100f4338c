import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers import CategoricalInput, ScenarioDropout, ScenarioIndex

FIELDS = [
    CategoricalInput("channel", cardinality=3),
    CategoricalInput("region", cardinality=6, oov_buckets=2),
]
ROWS = 20_000
INPUTS = {
    "channel": tf.zeros(ROWS, tf.int64),
    "region": tf.ones(ROWS, tf.int64),
    "item": tf.range(ROWS, dtype=tf.int64),
}


def test_replaces_all_fields_of_a_row_together_at_the_rate() -> None:
    outputs = ScenarioDropout(FIELDS, rate=0.1)(INPUTS, training=True)
    dropped = outputs["channel"].numpy() == 2
    # Standard deviation of the share: sqrt(.1 * .9 / 20,000) = 0.002.
    assert abs(dropped.mean() - 0.1) < 0.01
    np.testing.assert_array_equal(outputs["channel"], np.where(dropped, 2, 0))
    region = outputs["region"].numpy()
    np.testing.assert_array_equal(region[~dropped], 1)
    # Each of the two ids for values that training never saw is trained.
    assert set(region[dropped]) == {4, 5}
    assert abs((region[dropped] == 4).mean() - 0.5) < 0.06
    np.testing.assert_array_equal(outputs["item"], INPUTS["item"])


def test_a_dropped_row_has_the_unknown_scenario() -> None:
    outputs = ScenarioDropout(FIELDS, rate=0.5)(INPUTS, training=True)
    index = ScenarioIndex(FIELDS)(outputs).numpy()
    assert set(index) == {1, 2 * 4}


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.5, None), (0.0, True)])
def test_passes_everything_through(rate: float, training: bool | None) -> None:
    outputs = ScenarioDropout(FIELDS, rate=rate)(INPUTS, training=training)
    assert outputs.keys() == INPUTS.keys()
    for name, value in INPUTS.items():
        np.testing.assert_array_equal(outputs[name], value)


def test_draws_anew_in_each_step() -> None:
    layer = ScenarioDropout(FIELDS, rate=0.5)
    first, second = (layer(INPUTS, training=True)["channel"] for _ in range(2))
    assert np.any(first != second)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2])
def test_refuses_other_rates(rate: float) -> None:
    with pytest.raises(ValueError, match=f"rate: expected .* below 1, found {rate}"):
        ScenarioDropout(FIELDS, rate=rate)


def test_serialises(round_trip) -> None:
    layer = ScenarioDropout(FIELDS, rate=0.25)
    again = round_trip(layer)
    assert (again.fields, again.rate) == (FIELDS, 0.25)


def test_a_config_serves_more_than_once() -> None:
    config = ScenarioDropout(FIELDS).get_config()
    for _ in range(2):
        assert ScenarioDropout.from_config(config).fields == FIELDS

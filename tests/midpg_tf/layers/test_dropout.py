import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers import Dropout


@pytest.mark.parametrize(
    # 0.2 is 51 / 256 to the nearest; what is left is 205 / 256.
    ("rate", "share", "scale"),
    [(0.2, 51 / 256, 256 / 205), (0.5, 0.5, 2.0)],
)
def test_drops_a_share_and_scales_the_rest(rate, share, scale) -> None:
    units = Dropout(rate)(tf.ones((500, 401)), training=True).numpy()
    assert set(np.unique(units)) == {0.0, np.float32(scale)}
    # Five standard deviations of a share of 200,500 units.
    noise = 5 * np.sqrt(share * (1 - share) / units.size)
    assert abs(np.mean(units == 0) - share) < noise
    by_row, by_column = np.mean(units == 0, axis=1), np.mean(units == 0, axis=0)
    assert abs(np.std(by_row) - np.sqrt(share * (1 - share) / 401)) < 0.01
    assert abs(np.std(by_column) - np.sqrt(share * (1 - share) / 500)) < 0.01


def test_parts_get_what_all_their_rows_would_get() -> None:
    layer = Dropout(0.5)
    sizes = [3, 0, 7]
    tf.random.set_seed(1)
    whole = layer(tf.ones((10, 4)), training=True)
    tf.random.set_seed(1)
    parts = layer([tf.ones((size, 4)) for size in sizes], training=True)
    assert [len(part) for part in parts] == sizes
    np.testing.assert_array_equal(tf.concat(parts, axis=0), whole)
    for same, part in zip(layer(parts), parts, strict=True):
        np.testing.assert_array_equal(same, part)


def test_parts_may_be_of_other_shapes() -> None:
    shapes = [(20, 3, 40), (0, 7, 40), (30, 2, 40)]
    parts = Dropout(0.5)([tf.ones(shape) for shape in shapes], training=True)
    assert [tuple(part.shape) for part in parts] == shapes
    for part in (parts[0], parts[2]):
        # Five standard deviations of half of 2,400 units: 0.051.
        assert abs(np.mean(part.numpy() == 0) - 0.5) < 0.051


def test_does_nothing_in_inference_or_at_rate_zero() -> None:
    rows = tf.random.normal((3, 5))
    assert Dropout(0.5)(rows) is rows
    assert Dropout(0.5)(rows, training=False) is rows
    assert Dropout(0.0)(rows, training=True) is rows


def test_what_is_dropped_gets_no_gradient() -> None:
    rows = tf.Variable(tf.ones((7, 9)))
    with tf.GradientTape() as tape:
        out = Dropout(0.5)(rows, training=True)
    np.testing.assert_array_equal(tape.gradient(out, rows), out)


def test_another_draw_in_each_step_and_the_same_for_a_seed() -> None:
    layer = Dropout(0.5)

    @tf.function
    def step() -> tf.Tensor:
        return layer(tf.ones((20, 20)), training=True)

    def steps() -> list[np.ndarray]:
        tf.random.set_seed(3)
        return [step().numpy() for _ in range(2)]

    first, second = steps()
    assert np.any(first != second)
    tf.random.set_seed(3)
    np.testing.assert_array_equal(steps()[0], first)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype: str) -> None:
    out = Dropout(0.5, dtype=dtype)(tf.ones((8, 8), dtype), training=True)
    assert out.dtype == dtype
    assert set(np.unique(tf.cast(out, tf.float32))) == {0.0, 2.0}


def test_no_rows() -> None:
    assert Dropout(0.5)(tf.zeros((0, 4)), training=True).shape == (0, 4)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 0.999, np.nan])
def test_refuses_other_rates(rate: float) -> None:
    with pytest.raises(
        ValueError, match=f"rate: expected a share .*below 1, found {rate}"
    ):
        Dropout(rate)


def test_serialises(round_trip) -> None:
    again = round_trip(Dropout(0.3))
    assert again.rate == 0.3

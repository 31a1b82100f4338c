from collections.abc import Sequence
from typing import Any

import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import build_layer
from midpg_tf.layers.building import fresh


def test_weights_bear_the_name_of_their_layer() -> None:
    layers = [keras.layers.Dense(3, name=name) for name in ("first", "second")]
    for layer in layers:
        build_layer(layer, (None, 2))
    names = [weight.name for layer in layers for weight in layer.weights]
    assert names == [
        *("first/kernel:0", "first/bias:0"),
        *("second/kernel:0", "second/bias:0"),
    ]
    assert layers[0].kernel.shape == (2, 3)


@pytest.mark.parametrize(
    "initializer", ["he_normal", keras.initializers.RandomNormal(stddev=3.0)]
)
def test_fresh_initializers_draw_anew(initializer: Any) -> None:
    first, second = fresh(initializer), fresh(initializer)
    assert first.get_config() == keras.initializers.get(initializer).get_config()
    assert first((5,)).numpy().tolist() != second((5,)).numpy().tolist()


def test_a_function_that_initializes_stays_as_it_is() -> None:
    def halves(shape: Sequence[int], dtype: Any = None, **_: Any) -> tf.Tensor:
        return tf.fill(shape, tf.constant(0.5, dtype or tf.float32))

    assert fresh(halves) is halves

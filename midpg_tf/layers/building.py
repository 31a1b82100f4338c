"""Layers that are built before their first call, and what their weights start as."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras


def build_layer(layer: keras.layers.Layer, input_shape: Any = None) -> None:
    """Builds a layer under its name, as its first call would.

    Otherwise weights of several layers have the same name, which Keras' HDF5 files
    can't hold where one layer has built the others.

    Args:
        layer: The layer.
        input_shape: What its `build` takes. Default: None.
    """
    with tf.name_scope(layer.name):
        layer.build(input_shape)


def fresh(initializer: Any) -> keras.initializers.Initializer:
    """A new initialiser like a given one, for each of several weights.

    One of Keras' random initialisers gives the same values each time, so that weights
    of one shape would start out equal. Those with a seed still do.

    Args:
        initializer: Whatever `keras.initializers.get` takes. A function stays as it is.
    """
    initializer = keras.initializers.get(initializer)
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    return type(initializer).from_config(initializer.get_config())

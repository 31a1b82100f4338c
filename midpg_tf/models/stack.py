"""Layers that follow each other."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.building import build_layer


def build_stack(layers: Sequence[keras.layers.Layer], width: int) -> int:
    """Builds layers that follow each other; returns the last one's width."""
    for layer in layers:
        build_layer(layer, (None, None, width))
        width = layer.units
    return width


def run_stack(
    layers: Sequence[keras.layers.Layer],
    dropouts: Sequence[keras.layers.Layer],
    rows: tf.Tensor,
    training: bool | None,
    **copy: tf.Tensor,
) -> tf.Tensor:
    """Runs layers one after the other, each with its dropout."""
    for layer, dropout in zip(layers, dropouts, strict=True):
        rows = dropout(layer(rows, **copy), training=training)
    return rows

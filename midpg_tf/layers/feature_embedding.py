"""The features of a row as one vector."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.inputs import (
    CategoricalInput,
    FeatureInput,
    deserialized,
    serialized,
)
from midpg_tf.names import safe_name


@keras.saving.register_keras_serializable(package="midpg_tf")
class FeatureEmbedding(keras.layers.Layer):
    """Embeds categorical features and concatenates them with the numeric ones.

    Args:
        inputs: The features, in the order of the concatenation.
        stddev: Standard deviation of the embeddings at initialisation. Default 1e-3.
        l2: Factor of the squared embeddings in the loss. Default 0.

    Input shape:
        A dictionary by name, as `select` gives it: int32 or int64 `(batch,)` for a
        categorical input, the same `(batch, any)`, ragged or padded with -1, for a
        multivalued one, float `(batch,)` for a numeric one. A trailing axis of size 1
        is accepted; other keys are ignored.

    Output shape:
        `(batch, width)`, where `width` is the sum of the inputs' widths.
    """

    def __init__(
        self,
        inputs: Sequence[FeatureInput],
        stddev: float = 1e-3,
        l2: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inputs = list(inputs)
        self.stddev = stddev
        self.l2 = l2
        self.width = sum(item.width for item in self.inputs)

    def build(self, input_shape: Any = None) -> None:
        self.tables = {
            item.name: self.add_weight(
                name=safe_name(item.name),
                shape=(item.cardinality, item.embedding),
                initializer=keras.initializers.RandomNormal(stddev=self.stddev),
                regularizer=keras.regularizers.L2(self.l2) if self.l2 else None,
            )
            for item in self.inputs
            if isinstance(item, CategoricalInput)
        }
        self.built = True

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        columns = [self._column(item, inputs[item.name]) for item in self.inputs]
        return tf.concat(columns, axis=-1)  # (batch, width)

    def _column(self, item: FeatureInput, value: tf.Tensor) -> tf.Tensor:
        if not isinstance(item, CategoricalInput):
            return tf.cast(tf.reshape(value, (-1, 1)), self.compute_dtype)
        # In half precision, Keras casts what is gathered, not the table.
        table = self.tables[item.name]
        # By the operation's name, TensorFlow tells whose ids are out of range.
        look_up = functools.partial(tf.gather, table, name=safe_name(item.name))
        if not item.multivalued:
            return look_up(tf.reshape(value, (-1,)))  # (batch, embedding)
        present = value >= 0  # (batch, any)
        vectors = look_up(tf.maximum(value, 0))  # (batch, any, embedding)
        weights = tf.cast(present, self.compute_dtype)[..., tf.newaxis]
        total = tf.reduce_sum(vectors * weights, axis=1)
        return total / tf.maximum(tf.reduce_sum(weights, axis=1), 1)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "inputs": serialized(self.inputs),
            "stddev": self.stddev,
            "l2": self.l2,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureEmbedding:
        inputs = deserialized(config["inputs"])
        return cls(**(config | {"inputs": inputs}))

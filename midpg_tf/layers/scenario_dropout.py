"""Training for scenarios that training never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import below_one
from midpg_tf.layers.inputs import CategoricalInput, deserialized, serialized


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioDropout(keras.layers.Layer):
    """Replaces a row's whole scenario by unknown values, at a small rate.

    A field gets any of its out-of-vocabulary ids, as values do that training never saw.
    In training only, so that the embedding of an unknown value, and the backbone
    under neutral weighting matrices, learn to do without a scenario.

    Args:
        fields: The scenario fields.
        rate: Share of rows. Default 0.01.

    Input shape:
        A dictionary with int32 or int64 `(batch,)` for each field; other keys pass
        through.

    Output shape:
        As the input.

    Raises:
        ValueError: If the rate is not in [0, 1).
    """

    def __init__(
        self,
        fields: Sequence[CategoricalInput],
        rate: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        below_one(rate=rate)
        self.fields = list(fields)
        self.rate = rate

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        outputs = dict(inputs)
        if not training or not self.rate:
            return outputs
        rows = tf.size(inputs[self.fields[0].name])
        dropped = tf.random.uniform((rows,)) < self.rate
        for field in self.fields:
            value = tf.reshape(inputs[field.name], (-1,))
            unknown = field.known
            if field.oov_buckets > 1:
                unknown += tf.random.uniform(
                    (rows,),
                    maxval=field.oov_buckets,
                    dtype=tf.int32,
                )
            outputs[field.name] = tf.where(
                dropped, tf.cast(unknown, value.dtype), value
            )
        return outputs

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "fields": serialized(self.fields),
            "rate": self.rate,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ScenarioDropout:
        fields = deserialized(config["fields"])
        return cls(**(config | {"fields": fields}))

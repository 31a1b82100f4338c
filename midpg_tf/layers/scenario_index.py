"""The combination of the scenario fields as one integer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.inputs import CategoricalInput, deserialized, serialized
from midpg_tf.names import scenario_name


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioIndex(keras.layers.Layer):
    """Numbers the combinations of known values of the scenario fields.

    The combination `(i, j, ...)` of fields with `I, J, ...` known ids has the index
    `(i * J + j) * ...`. A row with an unknown value in any field has the index
    `count`: its scenario is unknown. A combination that no row has shown has an index
    of its own, as long as each of its values is known; models that have parts of each
    scenario's own take it for the unknown one (see `TrainedScenarios`).

    Args:
        fields: The scenario fields, each with at least one out-of-vocabulary id.

    Input shape:
        A dictionary with int32 or int64 `(batch,)` for each field. Ids that are out of
        range, on either side, stand for unknown values.

    Output shape:
        int64 `(batch,)`, from 0 to `count`, both included.

    Raises:
        ValueError: If a field has several ids a row, or no id for unknown values.
    """

    def __init__(self, fields: Sequence[CategoricalInput], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fields = list(fields)
        for field in self.fields:
            if field.multivalued or field.oov_buckets < 1 or field.known < 1:
                raise ValueError(
                    "expected scenario fields with one id a row, at least one known"
                    f" value and one out-of-vocabulary id, found {field}"
                )
        self.count = math.prod(field.known for field in self.fields)

    @property
    def size(self) -> int:
        """Number of scenarios, the unknown one included."""
        return self.count + 1

    @property
    def names(self) -> list[str]:
        """A name for each index, by `scenario_name`; the last is "unknown".

        In parentheses, if rows have that value.
        """
        values = [field.values or range(field.known) for field in self.fields]
        known = [scenario_name(map(str, c)) for c in itertools.product(*values)]
        other = "unknown"
        while other in known:
            other = f"({other})"
        return [*known, other]

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        index = tf.constant(0, tf.int64)
        known = tf.constant(True)
        for field in self.fields:
            value = tf.cast(tf.reshape(inputs[field.name], (-1,)), tf.int64)
            index = index * field.known + value
            known = known & (value >= 0) & (value < field.known)
        return tf.where(known, index, tf.constant(self.count, tf.int64))

    def decode(self, index: tf.Tensor) -> list[tf.Tensor]:
        """The ids of each field for an index; an unknown scenario's ids are 0.

        Args:
            index: int64 `(n,)`, from 0 to `count`.

        Returns:
            For each field, int64 `(n,)`.
        """
        rest = tf.where(index < self.count, index, tf.zeros_like(index))
        ids = []
        for field in reversed(self.fields):
            ids.append(rest % field.known)
            rest = rest // field.known
        return ids[::-1]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"fields": serialized(self.fields)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ScenarioIndex:
        fields = deserialized(config["fields"])
        return cls(**(config | {"fields": fields}))

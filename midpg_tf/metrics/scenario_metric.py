"""What the streaming per-scenario metrics have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

MOST_NAMED = 64
"""With more scenarios than this, a metric reports its totals alone."""


class ScenarioMetric(keras.metrics.Metric):
    """Sums over rows by scenario; the result is a dictionary.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        name: Key of the figure over all rows; `name/scenario` are the others'.
    """

    def __init__(self, scenarios: Sequence[str], name: str, **kwargs: Any) -> None:
        # Counts outgrow half precision.
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.scenarios = list(scenarios)

    def named(self, total: tf.Tensor, each: tf.Tensor) -> dict[str, tf.Tensor]:
        """The result: the total, then each scenario's figure `(scenarios,)`."""
        result = {self.name: total}
        if len(self.scenarios) <= MOST_NAMED:
            figures = tf.unstack(each, num=len(self.scenarios))
            for scenario, figure in zip(self.scenarios, figures, strict=True):
                result[f"{self.name}/{scenario}"] = figure
        return result

    def add_by_scenario(
        self, total: tf.Variable, values: tf.Tensor, scenario: tf.Tensor
    ) -> None:
        """Adds `values (batch, ...)` to the rows of `total (scenarios, ...)`."""
        total.assign_add(
            tf.math.unsorted_segment_sum(values, scenario, len(self.scenarios))
        )

    def reset_state(self) -> None:
        """Starts from zero."""
        for variable in self.variables:
            variable.assign(tf.zeros_like(variable))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scenarios": self.scenarios}


def columns(*values: Any) -> list[tf.Tensor]:
    """Values as float32 `(batch,)`; None stands for ones."""
    rows = [
        None if value is None else tf.reshape(tf.cast(value, tf.float32), (-1,))
        for value in values
    ]
    return [tf.ones_like(rows[0]) if value is None else value for value in rows]

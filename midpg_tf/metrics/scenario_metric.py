"""What the streaming per-scenario metrics have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

_MOST_NAMED = 64
"""With more scenarios than this, a metric reports its totals alone."""


class ScenarioMetric(keras.metrics.Metric):
    """Sums over rows by scenario; the result is a dictionary.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        name: Key of the figure over all rows; `name/scenario` are the others', if there
            are at most 64.
    """

    def __init__(self, scenarios: Sequence[str], name: str, **kwargs: Any) -> None:
        # Counts outgrow half precision.
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        # Of a list, Keras would wrap and track each of maybe a million names.
        self.scenarios = np.array(scenarios, object)

    def named(self, total: tf.Tensor, each: tf.Tensor) -> dict[str, tf.Tensor]:
        """The result: the total, then each scenario's figure `(scenarios,)`."""
        result = {self.name: total}
        if len(self.scenarios) <= _MOST_NAMED:
            figures = tf.unstack(each, num=len(self.scenarios))
            for scenario, figure in zip(self.scenarios, figures, strict=True):
                result[f"{self.name}/{scenario}"] = figure
        return result

    def reset_state(self) -> None:
        """Starts from zero."""
        for variable in self.variables:
            variable.assign(tf.zeros_like(variable))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scenarios": self.scenarios.tolist()}


class ScenarioRatio(ScenarioMetric):
    """The ratio of two weighted sums over rows, overall and by scenario.

    Args:
        scenarios: The scenarios' names, in the order of their indices.
        name: Key of the figure over all rows; `name/scenario` are the others', if there
            are at most 64.
    """

    def __init__(self, scenarios: Sequence[str], name: str, **kwargs: Any) -> None:
        super().__init__(scenarios, name, **kwargs)
        shape = (len(self.scenarios),)
        self.above = self.add_weight("above", shape, initializer="zeros")
        self.below = self.add_weight("below", shape, initializer="zeros")

    def terms(
        self, labels: tf.Tensor, scores: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What is summed above and below the line.

        Args:
            labels: float32 `(batch,)`, 0 or 1.
            scores: float32 `(batch,)`, probabilities.

        Returns:
            Two tensors `(batch,)`, before the rows' weights.
        """
        raise NotImplementedError

    def update_state(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        scenario: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> None:
        """Counts rows; the arguments are those of `ScenarioAUC.update_state`."""
        labels, scores, weights = columns(y_true, y_pred, sample_weight)
        above, below = self.terms(labels, scores)
        self._add(self.above, above * weights, scenario)
        self._add(self.below, below * weights, scenario)

    def _add(self, total: tf.Variable, values: tf.Tensor, scenario: tf.Tensor) -> None:
        total.assign_add(
            tf.math.unsorted_segment_sum(values, scenario, len(self.scenarios))
        )

    def result(self) -> dict[str, tf.Tensor]:
        return self.named(
            tf.reduce_sum(self.above) / tf.reduce_sum(self.below),
            self.above / self.below,
        )


def columns(*values: Any) -> list[tf.Tensor]:
    """Values as float32 `(batch,)`; None stands for ones."""
    rows = [
        None if value is None else tf.reshape(tf.cast(value, tf.float32), (-1,))
        for value in values
    ]
    return [tf.ones_like(rows[0]) if value is None else value for value in rows]

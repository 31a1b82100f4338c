"""A trainable vector for each scenario."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import whole


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioEmbedding(keras.layers.Layer):
    """Embeds the index of a scenario, the unknown one included.

    Args:
        scenarios: Number of scenarios, the unknown one included.
        width: Width of the vectors.
        stddev: Standard deviation of the vectors at initialisation. Default 1.0:
            networks that generate parameters start out different by scenario.
        embeddings_regularizer: Default: none.

    Input shape:
        int64 of any shape, from 0 to below `scenarios`.

    Output shape:
        As the input, with an axis of `width` behind it.

    Raises:
        ValueError: If a size is not positive.

    Example:

    >>> ScenarioEmbedding(scenarios=4, width=8)(tf.constant([0, 3])).shape
    TensorShape([2, 8])
    """

    def __init__(
        self,
        scenarios: int,
        width: int,
        stddev: float = 1.0,
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        whole(1, scenarios=scenarios, width=width)
        self.scenarios = scenarios
        self.width = width
        self.stddev = stddev
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)

    def build(self, input_shape: Any = None) -> None:
        self.table = self.add_weight(
            name="table",
            shape=(self.scenarios, self.width),
            initializer=keras.initializers.RandomNormal(stddev=self.stddev),
            regularizer=self.embeddings_regularizer,
        )
        self.built = True

    @property
    def scenario_weights(self) -> list[tf.Variable]:
        """Those whose first axis is the scenarios'."""
        return [self.table]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # In half precision, Keras casts what is gathered, not the table.
        return tf.gather(self.table, inputs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "scenarios": self.scenarios,
            "width": self.width,
            "stddev": self.stddev,
            "embeddings_regularizer": keras.regularizers.serialize(
                self.embeddings_regularizer
            ),
        }

"""Each feature scaled and shifted by scenario."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers.checks import whole


@keras.saving.register_keras_serializable(package="midpg_tf")
class ScenarioAffine(keras.layers.Layer):
    """`x * a_s + b_s`, elementwise, with a scale and a shift for each scenario.

    The scales start as ones and the shifts as zeros: as the identity.

    Args:
        scenarios: Number of scenarios, the unknown one included.

    Input shape:
        Rows `(batch, width)`, and int `(batch,)`: their scenarios.

    Output shape:
        `(batch, width)`.

    Raises:
        ValueError: If the number of scenarios is not positive.

    References:
        Shen et al., "SAR-Net: A Scenario-Aware Ranking Network for Personalized Fair
        Recommendation in Hundreds of Travel Scenarios", CIKM 2021: the
        scenario-specific linear transformation layer.

    Example:

    >>> layer = ScenarioAffine(scenarios=3)
    >>> layer(tf.constant([[1.0, 2.0]]), tf.constant([2])).numpy().tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, scenarios: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        whole(1, scenarios=scenarios)
        self.scenarios = scenarios

    def build(self, input_shape: Any) -> None:
        shape = (self.scenarios, int(input_shape[-1]))
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")
        self.shift = self.add_weight(name="shift", shape=shape, initializer="zeros")
        self.built = True

    @property
    def scenario_weights(self) -> list[tf.Variable]:
        """Those whose first axis is the scenarios'."""
        return [self.scale, self.shift]

    def call(self, inputs: tf.Tensor, scenario: tf.Tensor) -> tf.Tensor:
        scale = tf.gather(self.scale, scenario)
        return inputs * scale + tf.gather(self.shift, scenario)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scenarios": self.scenarios}

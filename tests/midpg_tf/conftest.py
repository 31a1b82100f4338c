"""What the library's tests share: seeds, policies, copies, finite differences."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import midpg_tf  # noqa: F401  (before anything that touches tf.keras)


@pytest.fixture(autouse=True)
def _seed() -> None:
    keras.utils.set_random_seed(2022)


@pytest.fixture
def policy() -> Iterator[Callable[[str], None]]:
    """Sets Keras' global dtype policy for one test."""
    before = keras.mixed_precision.global_policy()
    yield keras.mixed_precision.set_global_policy
    keras.mixed_precision.set_global_policy(before)


@pytest.fixture
def round_trip() -> Callable[[Any], Any]:
    """Gives what Keras makes of an object's JSON, which must tell every argument."""

    def round_trip(original: Any) -> Any:
        config = original.get_config()
        arguments = dict(inspect.signature(type(original).__init__).parameters)
        for name in arguments.keys() - {"self", "kwargs"}:
            # A default would come back untold.
            assert config[name] != arguments[name].default, name
        text = json.dumps(keras.saving.serialize_keras_object(original))
        again = keras.saving.deserialize_keras_object(json.loads(text))
        assert type(again) is type(original)
        assert again.get_config() == config
        return again

    return round_trip


@pytest.fixture
def check_gradients() -> Callable[..., None]:
    """Compares automatic gradients with central finite differences."""

    def check(
        scalar: Callable[[], tf.Tensor],
        variables: Sequence[tf.Variable],
        step: float = 1e-6,
        tolerance: float = 1e-7,
    ) -> None:
        with tf.GradientTape() as tape:
            value = scalar()
        for variable, gradient in zip(
            variables, tape.gradient(value, variables), strict=True
        ):
            at = variable.numpy()
            differences = np.zeros_like(at)
            for index in np.ndindex(at.shape):
                shift = np.zeros_like(at)
                shift[index] = step
                variable.assign(at + shift)
                above = scalar().numpy()
                variable.assign(at - shift)
                differences[index] = (above - scalar().numpy()) / (2 * step)
            variable.assign(at)
            assert np.abs(differences).max() > 0, f"{variable.name} has no effect"
            np.testing.assert_allclose(
                tf.convert_to_tensor(gradient), differences, rtol=1e-5, atol=tolerance
            )

    return check

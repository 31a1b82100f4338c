"""Keras' side of a model: compiling, and steps of training and evaluation."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras


class OwnLossModel(tfrs.Model):
    """A model that brings its own loss and metrics.

    Subclasses define `compute_loss`, and make their weights in the constructor.

    Args:
        **kwargs: `keras.Model`'s: `name`, and `dtype` if it is the global policy's.

    Attributes:
        regularization_factor: A float32 variable, 1 unless assigned: of the
            regularisation in training. It isn't saved, and what a callback of `fit`
            assigns (see `RegularizationDelay`) ends with that `fit`.

    Raises:
        ValueError: If `dtype` isn't the global policy's, which layers have.
    """

    has_dynamic_shapes: ClassVar[bool] = False
    """Whether `call` groups rows by scenario, in shapes that XLA can't know."""

    def __init__(self, **kwargs: Any) -> None:
        _check_dtype(kwargs.get("dtype"))
        super().__init__(**kwargs)
        self.set_untracked(
            regularization_factor=tf.Variable(1.0, trainable=False),
            mean_loss=keras.metrics.Mean(name="loss"),
        )

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def set_untracked(self, **attributes: Any) -> None:
        """Sets attributes whose variables are no weights of the model.

        As Keras keeps its counters of steps, and metrics that are compiled: `summary`
        counts none of them. Metrics among them must be listed by `metrics`.
        """
        for name, value in attributes.items():
            setattr(self, name, value)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """All metrics, in the order of what `evaluate` gives."""
        return [*super().metrics, self.mean_loss]

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Does nothing: a model's weights exist from construction on."""

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Compiles as `keras.Model` does, with the model's own loss and metrics.

        Args:
            optimizer: Keras' optimizer, or its name. Default `rmsprop`.
            loss: None.
            metrics: None.
            **kwargs: Keras' other arguments.

        Raises:
            ValueError: If there is a loss or a metric, or `jit_compile` for a model
                that groups rows by scenario.
        """
        given = {"loss": loss, "metrics": metrics} | kwargs
        for key in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if given.get(key):
                raise ValueError(
                    f"{key}: expected none, since the model brings its own loss and"
                    f" metrics, found {given[key]!r}"
                )
        if kwargs.get("jit_compile") and self.has_dynamic_shapes:
            raise ValueError(
                f"jit_compile: expected False for {type(self).__name__}, whose groups"
                " of rows have shapes that XLA can't know, found True"
            )
        # Weighted they are; given none, Keras would warn that they aren't.
        kwargs["weighted_metrics"] = []
        super().compile(optimizer, loss, metrics, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Calls `compile`, which Keras does just where a model doesn't override it."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self._build_optimizer()

    @functools.wraps(keras.Model.fit)
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        _check_labels(y)
        factor = self.regularization_factor.numpy()
        callbacks = self._with_progress_bar(callbacks, verbose)
        try:
            return super().fit(
                x, y, batch_size, epochs, verbose, callbacks, *args, **kwargs
            )
        finally:
            # Stopped by hand, Keras calls no callback's `on_train_end`.
            self.regularization_factor.assign(factor)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        callbacks = self._with_progress_bar(callbacks, verbose)
        return super().evaluate(
            x, y, batch_size, verbose, sample_weight, steps, callbacks, *args, **kwargs
        )

    def make_train_function(self, force: bool = False) -> Any:
        """As `keras.Model`'s."""
        # Made in the first step, the optimizer's slots would have it traced twice.
        self._build_optimizer()
        return super().make_train_function(force)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer, also under loss scaling and `tf.distribute`."""
        with tf.GradientTape() as tape:
            loss = self._total_loss(data, training=True)
            # The optimizer sums gradients over replicas.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            loss = loss / replicas
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The metrics of a batch."""
        self._total_loss(data, training=False)
        return self.get_metrics_result()

    def _with_progress_bar(self, callbacks: Any, verbose: Any) -> Any:
        """Callbacks with a progress bar that shows figures as they are.

        Keras' own shows means over batches of all that isn't called as a metric is,
        such as `auc/app`. It hears from Keras how verbose to be.
        """
        if not verbose or isinstance(callbacks, keras.callbacks.CallbackList):
            return callbacks
        bar = keras.callbacks.ProgbarLogger
        listed = tf.nest.flatten(callbacks or [])
        if not any(isinstance(callback, bar) for callback in listed):
            listed.append(bar("steps", stateful_metrics=self.get_metrics_result()))
        return listed

    def _build_optimizer(self) -> None:
        # Keras' legacy optimizers have no `build`.
        if hasattr(self.optimizer, "build"):
            self.optimizer.build(self.trainable_variables)

    def _total_loss(self, data: Any, training: bool) -> tf.Tensor:
        loss = self.compute_loss(data, training=training)
        terms = [tf.cast(term, tf.float32) for term in self.losses]
        if training:
            terms = [self.regularization_factor * term for term in terms]
        total = tf.add_n([loss, *terms])
        # By rows, of which batches may have fewer than others, and a replica none.
        self.mean_loss.update_state(total, tf.cast(tf.size(data[1]), tf.float32))
        return total


def _check_labels(labels: Any) -> None:
    """Raises ValueError if an array has labels that no probability can have."""
    values = np.asarray(labels)
    if values.size and isinstance(values.flat[0], str | bytes):
        raise ValueError(
            "labels: expected numbers from 0 to 1, found text; make them numbers, as in"
            " labels.astype('float32')"
        )
    if values.dtype.kind not in "iuf" or not values.size:
        return
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # NaN too
        raise ValueError(
            f"labels: expected numbers from 0 to 1, found {low:g} to {high:g}; say"
            " which are conversions, as in (rating > 3).astype('float32')"
        )


def _check_dtype(dtype: Any) -> None:
    policy = keras.mixed_precision.global_policy().name
    if dtype is not None and getattr(dtype, "name", dtype) != policy:
        raise ValueError(
            f"dtype: expected none, or {policy!r}, since layers have the global"
            f" policy's, found {dtype!r}; before models are made, call"
            " keras.mixed_precision.set_global_policy"
        )

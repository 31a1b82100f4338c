"""Training inside the pipeline: TFX's Trainer calls `run_fn`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from tfx.components.trainer.fn_args_utils import FnArgs

from midpg_tf.callbacks import RegularizationDelay
from midpg_tf.models import RankingModel
from midpg_tf.spec import DatasetSpec, ModelSpec, Training
from pipeline.training_run import EVENTS, save_run
from pipeline.warm_start import warm_start
from serving.export import ServingModel, export
from transform.dataset import TransformRaw, transformed_dataset, vocabularies
from transform.preprocessing import raw_feature_spec

log = logging.getLogger("midpg.trainer")

_SECONDS_A_LINE = 10.0


class TrainingLog(keras.callbacks.Callback):
    """Logs a line an epoch, and in long epochs one every ten seconds.

    Args:
        training: The settings: most epochs, and what early stopping looks at.

    Raises:
        ValueError: At the end of the first epoch, if that is no number: Keras would
            keep weights that nothing speaks for. Later on, it keeps the best ones.
    """

    def __init__(self, training: Training) -> None:
        super().__init__()
        # Keras' own mark: don't wait for every step's metrics, of which few are shown.
        self._supports_tf_logs = True
        self.epochs = training.epochs
        self.monitor = training.monitor
        self.epoch = 0
        self.last_line = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epoch, self.last_line = epoch, time.monotonic()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        if logs and time.monotonic() - self.last_line > _SECONDS_A_LINE:
            self.last_line = time.monotonic()
            log.info(
                "epoch %d, step %s: log loss %.4f",
                self.epoch + 1,
                f"{batch + 1:,}",
                logs["log_loss"],
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        log.info(
            "epoch %d of at most %d: log loss %.4f, on eval %.4f, AUC on eval %.4f",
            epoch + 1,
            self.epochs,
            logs["log_loss"],
            logs["val_log_loss"],
            logs["val_auc"],
        )
        found = float(logs[f"val_{self.monitor}"])
        if epoch == 0 and not math.isfinite(found):
            raise ValueError(
                f"eval split: expected a number as {self.monitor}, found {found} after"
                " the first epoch: rows of both classes need weights above 0, or the"
                " training diverged; correct the weights, change data.split, or lower"
                " training.learning_rate"
            )


def fit(
    model: RankingModel,
    training: Training,
    train: tf.data.Dataset,
    evaluation: tf.data.Dataset,
    log_dir: Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, float]:
    """Fits a model with early stopping on the eval split; restores the best weights.

    Where the model's `negative_rate` is below 1, each pass over `train` draws rows anew
    and may have more or fewer batches than the last. All epochs then have as many steps
    as a first pass, which counts them, had batches.

    Args:
        model: With new or earlier weights.
        training: The settings.
        train: Batches of (features, label[, weight]), shuffled.
        evaluation: The same, of the eval split.
        log_dir: Where TensorBoard's events go.
        callbacks: More of Keras' callbacks.

    Returns:
        The figures of the epoch whose weights are restored, by their names in Keras'
        history.

    Raises:
        ValueError: If what early stopping looks at is no number from the start.
    """
    model.compile(optimizer=keras.optimizers.Adam(training.learning_rate))
    if training.schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(
            training.learning_rate, training.epochs
        )
        rate = keras.callbacks.LearningRateScheduler(
            lambda epoch, _: float(schedule(epoch))
        )
        callbacks = [*callbacks, rate]
    if training.unregularized_epochs and not training.warm_start:
        delay = RegularizationDelay(training.unregularized_epochs)
        callbacks = [*callbacks, delay]
    steps = None
    if model.negative_rate < 1:
        # Keras ends the fit at an epoch with fewer batches than the first one.
        steps = int(train.reduce(np.int64(0), lambda count, *_: count + 1))
        train = train.repeat()
    stopping = keras.callbacks.EarlyStopping(
        f"val_{training.monitor}",
        mode="max" if training.monitor == "auc" else "min",
        patience=training.patience,
        restore_best_weights=True,
    )
    history = model.fit(
        train,
        validation_data=evaluation,
        epochs=training.epochs,
        steps_per_epoch=steps,
        verbose=0,
        callbacks=[
            stopping,
            keras.callbacks.TensorBoard(str(log_dir), profile_batch=0),
            TrainingLog(training),
            *callbacks,
        ],
    ).history
    return {name: values[stopping.best_epoch] for name, values in history.items()}


def count_parameters(layer: keras.layers.Layer) -> int:
    """Number of trainable parameters of a model, or of a layer."""
    return sum(int(weight.shape.num_elements()) for weight in layer.trainable_weights)


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model that `custom_config` describes, and exports it for serving.

    Args:
        fn_args: TFX's. `custom_config` has the JSON of the data-set description as
            `spec`, of the model as `model`, and of the training settings as
            `training`.
    """
    config = fn_args.custom_config
    spec = DatasetSpec.from_json(config["spec"])
    model_spec = ModelSpec.model_validate_json(config["model"])
    training = Training.model_validate_json(config["training"])
    transform_output = tft.TFTransformOutput(fn_args.transform_output)

    keras.backend.clear_session()
    keras.utils.set_random_seed(training.seed)
    several = len(tf.config.list_physical_devices("GPU")) > 1
    strategy = (
        tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()
    )
    values = vocabularies(transform_output, spec)
    with strategy.scope():
        model = spec.build_model(model_spec, values)
    if training.warm_start:
        warm_start(Path(training.warm_start), model, values)
    log.info("%s with %s parameters", model_spec.name, f"{count_parameters(model):,}")
    train, evaluation = (
        transformed_dataset(
            files,
            transform_output,
            spec,
            training.batch_size,
            seed=seed,
            negative_rate=model.negative_rate,
        )
        for files, seed in (
            (fn_args.train_files, training.seed),
            (fn_args.eval_files, None),
        )
    )
    run_dir = Path(fn_args.model_run_dir)
    with strategy.scope():
        fit(model, training, train, evaluation, run_dir / EVENTS)
    save_run(run_dir, model, values)
    export(
        ServingModel(
            spec,
            model,
            TransformRaw(transform_output),
            raw_feature_spec(spec, with_label=False),
        ),
        fn_args.serving_model_dir,
    )

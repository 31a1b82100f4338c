"""Training inside the pipeline: TFX's Trainer calls `run_fn`."""

from __future__ import annotations

import logging
from pathlib import Path

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from tfx.components.trainer.fn_args_utils import FnArgs

import midpg_tf  # noqa: F401  selects Keras 2 before TensorFlow Transform loads
from midpg_tf.models import RankingModel
from midpg_tf.spec import DatasetSpec
from midpg_tf.spec.model import ModelSpec, Training
from serving.export import ServingModel, export
from transform.dataset import TransformRaw, transformed_dataset, vocabularies
from transform.preprocessing import raw_feature_spec

log = logging.getLogger("midpg.trainer")

KERAS_MODEL = "model.keras"
"""Name of the trained Keras model, in the artifact of the training run."""


class EpochLog(keras.callbacks.Callback):
    """Logs a line an epoch: losses, AUC of the eval split, rows a second."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs

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


def fit(
    model: RankingModel,
    training: Training,
    train: tf.data.Dataset,
    evaluation: tf.data.Dataset,
    log_dir: Path,
) -> None:
    """Fits a model with early stopping on the eval split; restores the best weights.

    Args:
        model: With new weights; `training.warm_start` replaces them.
        training: The settings.
        train: Batches of (features, label[, weight]), shuffled.
        evaluation: The same, of the eval split.
        log_dir: Where TensorBoard's events go.

    Raises:
        ValueError: If the warm start is a model of another architecture.
    """
    if training.warm_start:
        _copy_weights(training.warm_start, model)
    model.compile(optimizer=keras.optimizers.Adam(training.learning_rate))
    model.fit(
        train,
        validation_data=evaluation,
        epochs=training.epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping(
                f"val_{training.monitor}",
                mode="max" if training.monitor == "auc" else "min",
                patience=training.patience,
                restore_best_weights=True,
            ),
            keras.callbacks.TensorBoard(str(log_dir), profile_batch=0),
            EpochLog(training.epochs),
        ],
    )


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
    strategy = tf.distribute.MirroredStrategy() if _gpus() > 1 else _default_strategy()
    with strategy.scope():
        model = spec.build_model(model_spec, vocabularies(transform_output, spec))
    parameters = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    log.info("%s with %s parameters", model_spec.name, f"{parameters:,}")
    train, evaluation = (
        transformed_dataset(
            files,
            transform_output,
            spec,
            training.batch_size,
            shuffle=shuffle,
            seed=training.seed,
        )
        for files, shuffle in ((fn_args.train_files, True), (fn_args.eval_files, False))
    )
    run_dir = Path(fn_args.model_run_dir)
    fit(model, training, train, evaluation, run_dir / "tensorboard")
    model.save(run_dir / KERAS_MODEL)
    export(
        ServingModel(
            spec,
            model,
            TransformRaw(transform_output),
            raw_feature_spec(spec, with_label=False),
        ),
        fn_args.serving_model_dir,
    )


def _gpus() -> int:
    return len(tf.config.list_physical_devices("GPU"))


def _default_strategy() -> tf.distribute.Strategy:
    return tf.distribute.get_strategy()


def _copy_weights(path: str, model: RankingModel) -> None:
    source = keras.models.load_model(path)
    found = [tuple(weight.shape) for weight in source.get_weights()]
    expected = [tuple(weight.shape) for weight in model.get_weights()]
    if found != expected:
        raise ValueError(
            f"warm start: expected a model with the same features, vocabularies and"
            f" settings as the new one, found other shapes of weights in {path}; train"
            " without warm_start, or with the vocabularies of that model"
        )
    model.set_weights(source.get_weights())

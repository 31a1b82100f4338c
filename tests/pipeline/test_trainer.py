"""Training inside the pipeline: what it writes, says, and does the same again."""

from __future__ import annotations

import itertools
import logging
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf import MLP, CategoricalInput
from midpg_tf.spec.model import Training
from pipeline.evaluation.scoring import read_rows, score
from pipeline.trainer import TrainingLog, fit

pytestmark = pytest.mark.slow


@pytest.fixture
def examples(prepared):
    files = [str(file) for file in (prepared.raw / "Split-test").iterdir()]
    return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


def split_labels(prepared, split):
    files = str(prepared.raw / f"Split-{split}" / "*")
    rows, _ = read_rows([files], prepared.spec, cluster_by=None)
    return rows.labels


def scores(trained, examples):
    return score(str(trained.model / "Format-Serving"), examples)


def test_the_exported_model_answers_raw_rows(trained, examples):
    found = scores(trained, examples)
    assert found.shape == (80,)
    assert ((found > 0) & (found < 1)).all()
    loaded = tf.saved_model.load(str(trained.model / "Format-Serving"))
    assert {"serving_default", "predict_raw", "transform_features"} <= set(
        loaded.signatures
    )
    assert list((trained.model_run / "tensorboard").rglob("events*"))


@pytest.fixture(scope="module")
def again(train, trained):
    """The same training once more, and its lines."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("midpg.trainer")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        return train(), lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_a_seed_gives_the_same_model_again(trained, again, examples):
    np.testing.assert_array_equal(scores(again[0], examples), scores(trained, examples))


def test_a_line_an_epoch(again):
    _, (size, *epochs) = again
    # Embeddings of 2 + 1, 2 + 1, 8 + 1 and 3 + 1 values, 4 wide each; a number; one
    # hidden layer and one output.
    inputs = 4 * 4 + 1
    parameters = 4 * (3 + 3 + 9 + 4) + inputs * 8 + 8 + 8 + 1
    assert size == f"mlp with {parameters} parameters"
    assert len(epochs) == 2
    assert epochs[0].startswith("epoch 1 of at most 2: log loss 0.")
    assert ", AUC on eval 0." in epochs[1]


def test_a_warm_start_goes_on_where_the_earlier_run_ended(train, trained, examples):
    before = scores(trained, examples)
    # A model that starts anew answers nearly the same to all.
    assert np.ptp(before) > 0.2
    # Steps too small to move a score.
    warm = train(
        learning_rate=1e-12, epochs=1, seed=9, warm_start=str(trained.model_run)
    )
    np.testing.assert_allclose(scores(warm, examples), before, rtol=0, atol=1e-6)


def classes(labels):
    """The number of rows with the label 0, and of those with the label 1."""
    return np.bincount(labels.astype(int), minlength=2).tolist()


def test_training_alone_gets_a_share_of_the_negatives(train, prepared, monkeypatch):
    found = []

    def fit(model, training, *datasets, **_):
        labels = ([label for _, label, _ in dataset] for dataset in datasets[:2])
        found.extend(classes(np.concatenate(one)) for one in labels)
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.trainer.fit", fit)
    with pytest.raises(KeyboardInterrupt):
        train(negative_rate=0.5)
    negatives, positives = classes(split_labels(prepared, "train"))
    assert found[0][0] == pytest.approx(negatives / 2, rel=0.3)
    assert found[0][1] == positives
    assert found[1] == classes(split_labels(prepared, "eval"))


class Scripted(keras.Model):
    """Its figures on the eval split are given; its one weight counts the epochs."""

    figures: ClassVar = {
        "val_log_loss": [0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        "val_auc": [0.6, 0.7, 0.8, 0.7, 0.6, 0.5],
    }
    negative_rate: ClassVar = 1.0

    def __init__(self):
        super().__init__()
        self.epoch = self.add_weight(name="epoch", shape=(), initializer="zeros")
        self.ended = 0

    def fit(self, train, *, callbacks, epochs, **_):
        history = keras.callbacks.History()
        stopping = keras.callbacks.CallbackList([callbacks[0], history], model=self)
        self.stop_training = False
        stopping.on_train_begin()
        while self.ended < epochs and not self.stop_training:
            logs = {name: values[self.ended] for name, values in self.figures.items()}
            self.ended += 1
            self.epoch.assign(self.ended)
            stopping.on_epoch_end(self.ended - 1, logs)
        stopping.on_train_end()
        return history


class Rates(keras.callbacks.Callback):
    """Keeps the learning rate of each epoch, and counts the steps of all."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(float(self.model.optimizer.learning_rate))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    # (1 + cos(pi e / 4)) / 2 for e = 0, 1, 2, 3.
    [("constant", [1.0] * 4), ("cosine", [1.0, 0.853553, 0.5, 0.146447])],
)
def test_learning_rate_by_epoch(tmp_path, schedule, expected):
    features = [CategoricalInput("channel", 3, 1)]
    rows = {"channel": np.array([0, 1, 0, 1])}, np.array([0.0, 1.0, 0.0, 1.0])
    rows = tf.data.Dataset.from_tensors(rows)
    rates = Rates()
    fit(
        MLP(features, ["channel"], hidden=()),
        Training(epochs=4, patience=4, learning_rate=0.01, schedule=schedule),
        rows,
        rows,
        tmp_path,
        callbacks=[rates],
    )
    np.testing.assert_allclose(rates.found, 0.01 * np.array(expected), rtol=1e-4)


class Factors(keras.callbacks.Callback):
    """Keeps the factor of the regularisation in each epoch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        self.found.append(float(self.model.regularization_factor))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 1, 1]),
        ({"unregularized_epochs": 2}, [0, 0, 1]),
        ({"unregularized_epochs": 2, "warm_start": "models/3"}, [1, 1, 1]),
    ],
)
def test_regularisation_by_epoch(tmp_path, settings, expected):
    rows = {"channel": np.array([0, 1])}, np.array([0.0, 1.0])
    rows = tf.data.Dataset.from_tensors(rows)
    factors = Factors()
    fit(
        MLP([CategoricalInput("channel", 3, 1)], ["channel"], hidden=()),
        Training(epochs=3, patience=3, **settings),
        rows,
        rows,
        tmp_path,
        callbacks=[factors],
    )
    assert factors.found == expected


def test_epochs_with_fewer_batches_do_not_end_the_training(tmp_path):
    batches = itertools.count(8, -1)
    features = {"channel": np.array([0, 1])}, np.array([0.0, 1.0])
    rows = tf.data.Dataset.from_tensors(features)

    def drawn():
        for _ in range(next(batches)):
            yield features

    rates = Rates()
    fit(
        MLP([CategoricalInput("channel", 3, 1)], ["channel"], negative_rate=0.5),
        Training(epochs=3, patience=3),
        tf.data.Dataset.from_generator(drawn, output_signature=rows.element_spec),
        rows,
        tmp_path,
        callbacks=[rates],
    )
    assert len(rates.found) == 3
    # 8 are counted; the 24 of three epochs are 7, 6, 5, 4 and 2 of 3.
    assert rates.steps == 24


@pytest.mark.parametrize(("monitor", "best"), [("log_loss", 1), ("auc", 3)])
def test_training_stops_early_and_restores_the_best_weights(tmp_path, monitor, best):
    model = Scripted()
    training = Training(epochs=6, patience=2, monitor=monitor)
    found = fit(model, training, None, None, tmp_path)
    assert found == {
        name: figures[best - 1] for name, figures in Scripted.figures.items()
    }
    assert model.ended == best + 2
    assert model.epoch.numpy() == best


@pytest.mark.parametrize("monitor", ["log_loss", "auc"])
def test_figures_that_are_no_numbers_end_the_training(tmp_path, monitor):
    features, labels = {"channel": np.array([0, 1])}, np.array([0.0, 1.0])
    train, evaluation = (
        tf.data.Dataset.from_tensors((features, labels, np.full(2, weight)))
        for weight in (1.0, 0.0)
    )
    model = MLP([CategoricalInput("channel", 3, 1)], ["channel"], hidden=())
    message = f"eval split: expected a number as {monitor}, found nan after the first"
    with pytest.raises(ValueError, match=message):
        fit(model, Training(epochs=3, monitor=monitor), train, evaluation, tmp_path)


def test_figures_that_are_no_numbers_later_do_not_end_the_training():
    log = TrainingLog(Training(epochs=2))
    log.on_epoch_end(0, {"log_loss": 0.6, "val_log_loss": 0.5, "val_auc": 0.6})
    nan = float("nan")
    log.on_epoch_end(1, {"log_loss": nan, "val_log_loss": nan, "val_auc": nan})

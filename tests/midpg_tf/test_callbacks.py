"""Callbacks act in the epochs that they are for, and in no others."""

import numpy as np
import pytest
import tf_keras as keras

from midpg_tf import MLP, CategoricalInput
from midpg_tf.callbacks import RegularizationDelay

ROWS = {"channel": np.array([0, 1])}, np.array([0.0, 1.0])


class Norms(keras.callbacks.Callback):
    """Keeps the norm of an embedding that no row has, after each epoch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_epoch_end(self, epoch, logs=None):
        unseen = self.model.embedding.tables["channel"][2]
        self.found.append(np.linalg.norm(unseen))


def norms(model, **settings):
    norms = Norms()
    callbacks = [RegularizationDelay(2), norms]
    model.fit(*ROWS, callbacks=callbacks, verbose=0, **settings)
    return norms.found


def test_regularisation_waits():
    channel = CategoricalInput("channel", 4)
    model = MLP(
        [channel],
        ["channel"],
        hidden=(4,),
        embedding_stddev=1.0,
        l2=0.05,
        scenario_dropout=0.0,
    )
    start = np.linalg.norm(model.embedding.tables["channel"][2])
    model.compile(keras.optimizers.SGD(1.0))
    found = norms(model, epochs=4)
    # A step of the L2 alone takes 2 * 0.05 of it.
    np.testing.assert_allclose(found, start * np.array([1, 1, 0.9, 0.81]), rtol=1e-5)
    # A fit that goes on is past those epochs, and one without the callback has none.
    assert norms(model, initial_epoch=4, epochs=5) < [0.91 * found[-1]]
    model.fit(*ROWS, verbose=0)
    unseen = model.embedding.tables["channel"][2]
    np.testing.assert_allclose(np.linalg.norm(unseen), 0.9**4 * start, rtol=1e-5)
    assert model.train_function.experimental_get_tracing_count() == 1


def test_the_factor_is_whole_again_after_a_short_training():
    model = MLP([CategoricalInput("channel", 3)], ["channel"], hidden=())
    model.compile("sgd")
    norms(model, epochs=1)
    assert model.regularization_factor.numpy() == 1


class Stopped(keras.callbacks.Callback):
    """Ends a training as its reader's Ctrl+C does."""

    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_the_factor_is_whole_again_after_an_interrupted_training():
    model = MLP([CategoricalInput("channel", 3)], ["channel"], hidden=())
    model.compile("sgd")
    for factor in (1.0, 0.25):
        model.regularization_factor.assign(factor)
        with pytest.raises(KeyboardInterrupt):
            model.fit(*ROWS, callbacks=[RegularizationDelay(), Stopped()], verbose=0)
        assert model.regularization_factor.numpy() == factor

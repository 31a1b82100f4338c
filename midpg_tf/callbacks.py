"""What models need of Keras' callbacks beside Keras' own."""

from __future__ import annotations

from typing import Any

import tf_keras as keras


class RegularizationDelay(keras.callbacks.Callback):
    """Trains the first epochs without regularisation.

    Embeddings start near zero, so that kernels which read them get next to no gradient
    of the cross entropy, less than of their own L2. Adam divides gradients by their
    size and takes full steps along the L2's: with much of it, kernels are zero before
    embeddings have grown, and stay there, as embeddings behind them get no gradient.
    Once something is learnt, the same L2 does no harm.

    Epochs are counted from 0, so that a `fit` with `initial_epoch` goes on where an
    earlier one ended.

    Args:
        epochs: How many. Default 1.

    References:
        That Adam normalises the L2's gradients with the loss' own: Loshchilov and
        Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, section 2. What
        follows from it here, and the remedy, are this package's.

    Example:

    >>> import tensorflow as tf
    >>> from midpg_tf import MLP, CategoricalInput
    >>> model = MLP([CategoricalInput("channel", 3)], ["channel"], l2=1e-3)
    >>> model.compile("adam")
    >>> rows = {"channel": tf.constant([0, 1])}, tf.constant([0.0, 1.0])
    >>> history = model.fit(*rows, verbose=0, callbacks=[RegularizationDelay()])
    """

    def __init__(self, epochs: int = 1) -> None:
        super().__init__()
        # Keras' own mark: don't wait for every step's metrics.
        self._supports_tf_logs = True
        self.epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.regularization_factor.assign(float(epoch >= self.epochs))

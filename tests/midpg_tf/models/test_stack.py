import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import DenseBank
from midpg_tf.models.stack import build_stack, run_stack


def test_layers_are_as_wide_as_those_in_front_of_them() -> None:
    layers = [keras.layers.Dense(5), DenseBank(2, 3)]
    assert build_stack(layers, 7) == 3
    assert [layer.kernel.shape.as_list() for layer in layers] == [[7, 5], [2, 5, 3]]
    assert build_stack([], 7) == 7


def test_runs_each_layer_and_its_dropout_in_order() -> None:
    layers = [keras.layers.Lambda(lambda rows: rows + 1), keras.layers.Dense(1)]
    dropouts = [keras.layers.Lambda(lambda rows: rows * 2), keras.layers.Dropout(0.5)]
    layers[1].build((None, 1))
    layers[1].set_weights([np.array([[10.0]]), np.array([3.0])])
    output = run_stack(layers, dropouts, tf.constant([[1.0]]), training=False)
    assert output.numpy().tolist() == [[43.0]]
    rows = tf.ones((100, 1))
    trained = run_stack(layers, dropouts, rows, training=True).numpy()
    assert set(trained.ravel()) == {0.0, 86.0}


def test_gives_copies_to_each_layer() -> None:
    banks = [DenseBank(2, 1), DenseBank(2, 1)]
    build_stack(banks, 1)
    for bank in banks:
        bank.set_weights([np.array([[[2.0]], [[3.0]]]), np.zeros((2, 1, 1))])
    dropouts = [keras.layers.Dropout(0.0)] * 2
    copy = tf.constant([1, 0, 1])
    output = run_stack(banks, dropouts, tf.ones((3, 1, 1)), False, copy=copy)
    assert output.numpy().ravel().tolist() == [9.0, 4.0, 9.0]


def test_refuses_layers_without_dropout() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        run_stack([keras.layers.Dense(1)], [], tf.ones((1, 1)), training=False)

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.metrics import MatrixDiversity, matrix_diversity


def test_hand_computed() -> None:
    # Two scenarios, entries that differ by 1, 1, 0 and 2: sqrt((1 + 1 + 0 + 4) / 4).
    matrices = tf.constant([[[1.0, 1.0], [1.0, 1.0]], [[0.0, 2.0], [1.0, 3.0]]])
    np.testing.assert_allclose(matrix_diversity(matrices), math.sqrt(1.5), rtol=1e-6)


def test_mean_over_all_pairs() -> None:
    matrices = np.random.default_rng(1).normal(size=(5, 4, 3))
    squares = [np.mean((a - b) ** 2) for a, b in itertools.combinations(matrices, 2)]
    np.testing.assert_allclose(
        matrix_diversity(tf.constant(matrices)), math.sqrt(np.mean(squares)), rtol=1e-5
    )


@pytest.mark.parametrize("groups", [0, 1])
def test_zero_with_fewer_than_two_scenarios(groups: int) -> None:
    assert float(matrix_diversity(tf.ones((groups, 3, 2)))) == 0


def test_zero_for_equal_matrices_in_half_precision() -> None:
    matrices = tf.fill((4, 3, 2), tf.constant(1.1, tf.float16))
    assert float(matrix_diversity(matrices)) == 0


def test_metric_is_the_mean_over_layers_and_batches() -> None:
    metric = MatrixDiversity()
    apart = tf.constant([[[0.0]], [[3.0]]])
    metric.update_state([apart, tf.ones((2, 4, 4))])  # 3 and 0
    np.testing.assert_allclose(metric.result(), 1.5, rtol=1e-6)
    metric.update_state([2 * apart, apart])  # 6 and 3
    np.testing.assert_allclose(metric.result(), 3.0, rtol=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0


@pytest.mark.parametrize("groups", [0, 1])
def test_metric_leaves_out_batches_without_a_pair(groups: int) -> None:
    metric = MatrixDiversity()
    apart = tf.constant([[[0.0]], [[3.0]]])
    metric.update_state([apart])
    metric.update_state([apart[:groups]])
    np.testing.assert_allclose(metric.result(), 3.0, rtol=1e-6)


def test_serialises(round_trip) -> None:
    metric = MatrixDiversity(name="apart")
    again = round_trip(metric)
    assert again.name == "apart"

import numpy as np
import tensorflow as tf
import tf_keras as keras

from midpg_tf.losses import InfoNCE, info_nce_bound


def test_hand_computed_bound() -> None:
    # p = (1/4, 3/4), f = (log 3, 0; 0, 0). First: log(3 / (3/4 + 3/4)) = log 2;
    # second: log(1 / (1/4 + 3/4)) = 0.
    bound = info_nce_bound(
        tf.constant([0.25, 0.75]),
        tf.constant([[np.log(3.0), 0.0], [0.0, 0.0]], tf.float32),
    )
    np.testing.assert_allclose(bound, np.log(2) / 4, rtol=1e-6)


def test_reaches_the_entropy_and_no_more() -> None:
    probabilities = np.array([0.5, 0.2, 0.3], np.float32)
    entropy = -np.sum(probabilities * np.log(probabilities))
    perfect = info_nce_bound(tf.constant(probabilities), 100 * tf.eye(3))
    np.testing.assert_allclose(perfect, entropy, rtol=1e-5)
    blind = info_nce_bound(tf.constant(probabilities), tf.ones((3, 3)))
    np.testing.assert_allclose(blind, 0, atol=1e-6)


def test_a_scenario_without_rows_has_no_say() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    two = info_nce_bound(tf.constant([0.4, 0.6]), tf.constant(scores[:2, :2]))
    three = info_nce_bound(tf.constant([0.4, 0.6, 0.0]), tf.constant(scores))
    np.testing.assert_allclose(two, three, rtol=1e-6)


def layer_for(matrices: tf.Tensor, **arguments) -> InfoNCE:
    layer = InfoNCE([matrices.shape[0]], **arguments)
    layer.build([matrices.shape])
    return layer


def test_scores_are_products_of_vector_and_sketch() -> None:
    matrices = 1 + 0.1 * tf.random.normal((2, 5, 3))
    layer = layer_for(matrices, sketch=2, noise_stddev=0.5)
    entries = matrices.numpy().reshape(2, 15) - 1
    sketches = entries @ layer.projection.numpy() / np.sqrt(15) / 0.5
    scores = layer.vectors[0].numpy() @ sketches.T
    half = np.array([0.5, 0.5], np.float32)
    np.testing.assert_allclose(
        layer([matrices], [tf.constant([0, 1])], tf.constant(half)),
        np.mean(np.diag(scores) - np.log(np.exp(scores).mean(axis=1))),
        rtol=1e-4,
    )


def test_training_finds_out_which_matrices_differ() -> None:
    keras.utils.set_random_seed(0)
    matrices = tf.random.normal((4, 8, 6))
    layer = layer_for(matrices)
    quarter = tf.fill([4], 0.25)
    optimizer = keras.optimizers.Adam(0.05)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = -layer([matrices], [tf.range(4)], quarter, training=True)
        optimizer.minimize(loss, layer.trainable_weights, tape=tape)
        return -loss

    for _ in range(100):
        found = step()
    assert 0.9 * np.log(4) < found <= np.log(4) + 1e-5
    alike = layer([tf.ones((4, 8, 6))], [tf.range(4)], quarter)
    np.testing.assert_allclose(alike, 0, atol=1e-6)


def test_gradients(check_gradients) -> None:
    rng = np.random.default_rng(1)
    matrices = tf.Variable(1 + rng.normal(size=(3, 4, 2)).astype(np.float32))
    probabilities, scores = (
        tf.constant([0.2, 0.5, 0.3], tf.float64),
        tf.Variable(rng.normal(size=(3, 3))),
    )
    check_gradients(lambda: info_nce_bound(probabilities, scores), [scores])
    layer = layer_for(matrices)
    with tf.GradientTape() as tape:
        value = layer([matrices], [tf.range(3)], tf.fill([3], 1 / 3))
    assert np.abs(tape.gradient(value, matrices)).max() > 0


def test_serialises(round_trip) -> None:
    again = round_trip(InfoNCE([3, 2], sketch=2, noise_stddev=0.5))
    assert (again.sizes, again.sketch, again.noise_stddev) == ([3, 2], 2, 0.5)

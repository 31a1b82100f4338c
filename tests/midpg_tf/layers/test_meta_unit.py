import numpy as np
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import MetaUnit


def built(width: int = 2, knowledge: int = 2, **settings) -> MetaUnit:
    unit = MetaUnit(**settings)
    unit.build([(None, None, width), (None, knowledge)])
    return unit


def by_hand() -> MetaUnit:
    unit = built()
    unit.kernels.set_weights(
        [np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]]), np.zeros(4)]
    )
    unit.biases.set_weights([np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([0.5, 0.0])])
    return unit


def test_hand_computed_output() -> None:
    rows = tf.constant([[[3.0, -4.0]], [[3.0, -4.0]], [[1.0, 1.0]]])
    knowledge = tf.constant([[1.0, 2.0], [-1.0, 0.0]])
    output = by_hand()([rows, knowledge], tf.constant([0, 1, 0]))
    # Knowledge (1, 2): W = [[1, 2], [0, 1]], b = (.5, 1).
    # (3, -4): (3 + .5, 6 - 4 + 1); (1, 1): (1 + .5, 3 + 1).
    # Knowledge (-1, 0): W = [[-1, 0], [0, -1]], b = (.5, -1).
    # (3, -4): (-3 + .5, 4 - 1), of which a negative number keeps a fifth.
    expected = [[[3.5, 3.0]], [[-0.5, 3.0]], [[1.5, 4.0]]]
    np.testing.assert_allclose(output, expected, rtol=1e-6)


def test_without_groups_tile_i_has_group_i() -> None:
    unit = by_hand()
    rows, knowledge = tf.random.normal((3, 4, 2)), tf.random.normal((3, 2))
    np.testing.assert_array_equal(
        unit([rows, knowledge]), unit([rows, knowledge], tf.range(3))
    )


def test_starts_at_about_the_size_of_a_dense_layer() -> None:
    # With knowledge of unit variance and width 32, as M2M has it.
    unit = built(width=64, knowledge=32)
    kernels = unit.kernels(tf.random.normal((50, 32)))
    dense = np.sqrt(2 / (64 + 64))
    assert dense / 2 < np.std(kernels) < dense * 2


def test_gradients(check_gradients) -> None:
    unit = built(knowledge=3, dtype="float64")
    rng = np.random.default_rng(1)
    rows = tf.Variable(rng.normal(size=(3, 2, 2)))
    knowledge = tf.Variable(rng.normal(size=(2, 3)))
    weights = tf.constant(rng.normal(size=(3, 2, 2)))

    def scalar() -> tf.Tensor:
        output = unit([rows, knowledge], tf.constant([1, 0, 1]))
        return tf.reduce_sum(output * weights)

    check_gradients(scalar, [*unit.trainable_weights, rows, knowledge])


def test_regulariser_acts_on_the_generators() -> None:
    unit = built(kernel_regularizer=keras.regularizers.L2(0.5))
    for theirs, ours in zip(by_hand().weights, unit.weights, strict=True):
        ours.assign(theirs)
    # Three ones in V_w, one in V_b.
    np.testing.assert_allclose(tf.add_n(unit.losses), 0.5 * 4)


def test_weights_and_output_shape() -> None:
    unit = built(width=3, knowledge=5)
    assert unit.count_params() == 5 * 9 + 9 + 5 * 3 + 3
    output = unit([keras.Input((4, 3)), keras.Input((5,))])
    assert output.shape.as_list() == [None, 4, 3]


def test_an_initializer_draws_each_generator_anew() -> None:
    unit = built(width=1, knowledge=4, kernel_initializer=keras.initializers.HeNormal())
    assert not np.array_equal(unit.kernels.kernel, unit.biases.kernel)


def test_serialises(round_trip) -> None:
    unit = MetaUnit(
        keras.initializers.HeNormal(), keras.regularizers.L2(0.25), name="meta"
    )
    again = round_trip(unit)
    again.build([(None, None, 2), (None, 2)])
    assert isinstance(again.kernels.kernel_initializer, keras.initializers.HeNormal)
    np.testing.assert_allclose(again.biases.kernel_regularizer.l2, 0.25)

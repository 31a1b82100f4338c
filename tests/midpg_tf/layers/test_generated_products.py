import os

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers.generated_products import generated_products


def outer(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Kernels of rank 1."""
    return left * right


def test_hand_computed_products() -> None:
    rows = [tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 0.0], [0.0, 1.0]])]
    left = [tf.constant([[1.0], [1.0]]), tf.constant([[2.0], [4.0]])]
    right = tf.constant([[10.0, 1.0]])
    # Kernels [[10, 1], [10, 1]] and [[20, 2], [40, 4]].
    first, second = generated_products(outer, rows, [left], [right])
    np.testing.assert_array_equal(first, [[30.0, 3.0]])
    np.testing.assert_array_equal(second, [[60.0, 6.0], [40.0, 4.0]])


@pytest.mark.parametrize("cores", [1, 2, 64])
@pytest.mark.parametrize("tiles", [(), (2,)], ids=["rows", "tiles"])
def test_gradients(monkeypatch, check_gradients, cores: int, tiles) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    rng = np.random.default_rng(2)

    def drawn(*shape: int) -> tf.Variable:
        return tf.Variable(rng.normal(size=shape))

    rows = [drawn(*tiles, count, 4) for count in (3, 1, 2)]
    left = [drawn(*tiles, 4, 1) for _ in rows]
    bend = [drawn(*tiles, 1, 1) for _ in rows]
    right, kernel = drawn(1, 2), drawn(4, 2)
    weights = [drawn(*part.shape[:-1], 2) for part in rows]

    def make(left: tf.Tensor, bend: tf.Tensor, *shared: tf.Tensor) -> tf.Tensor:
        right, kernel = shared
        return kernel * tf.sigmoid(bend * left * right)

    def scalar() -> tf.Tensor:
        products = generated_products(make, rows, [left, bend], [right, kernel])
        return tf.add_n(
            [
                tf.reduce_sum(one * mine)
                for one, mine in zip(products, weights, strict=True)
            ]
        )

    check_gradients(scalar, [*rows, *left, *bend, right, kernel])


def test_kernels_are_made_again_for_the_gradient() -> None:
    made = []

    def make(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        made.append(1)
        return outer(left, right)

    rows, left = tf.ones((3, 4)), tf.ones((4, 1))
    with tf.GradientTape() as tape:
        tape.watch(left)
        (product,) = generated_products(make, [rows], [[left]], [tf.ones((1, 2))])
    assert len(made) == 1
    tape.gradient(product, left)
    assert len(made) == 2


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("of_gradient", [False, True])
def test_as_many_kernels_at_a_time_as_there_are_cores(
    monkeypatch, cores: int, of_gradient: bool
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)

    @tf.function(autograph=False)
    def step(rows: tf.Tensor, left: tf.Tensor, right: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([rows, left])
            products = generated_products(outer, [rows] * 5, [[left] * 5], [right])
        return tape.gradient(products, [rows, left])

    traced = step.get_concrete_function(*map(tf.ones, ((3, 4), (4, 1), (1, 2))))
    # Those with kernels, transposed in the gradient.
    products = [
        operation
        for operation in traced.graph.get_operations()
        if operation.type == "MatMul"
        and not operation.get_attr("transpose_a")
        and operation.get_attr("transpose_b") is of_gradient
    ]
    assert len(products) == 5
    for place, product in enumerate(products):
        kernel = product.inputs[1].op
        left = kernel.inputs[0].op
        if place < cores:
            assert not left.control_inputs
        else:
            assert products[place - cores] in left.control_inputs


def test_dtypes_stay() -> None:
    rows, left, right = (
        tf.ones(shape, tf.float16) for shape in ((3, 4), (4, 1), (1, 2))
    )
    with tf.GradientTape() as tape:
        tape.watch([rows, left, right])
        products = generated_products(outer, [rows], [[left]], [right])
    assert products[0].dtype == tf.float16
    gradients = tape.gradient(products, [rows, left, right])
    assert {one.dtype for one in gradients} == {tf.float16}

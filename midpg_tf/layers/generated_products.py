"""Matrix products with kernels that are made when they are needed, and not kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

Make: TypeAlias = Callable[..., tf.Tensor]
"""Makes kernels, `(input_dim, units)` or `(tiles, input_dim, units)`.

Of its arguments alone: what else it used would have no gradient.
"""


def generated_products(
    make: Make,
    rows: Sequence[tf.Tensor],
    own: Iterable[Sequence[tf.Tensor]],
    shared: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """`rows @ make(*own, *shared)` of each part.

    There are kernels of no more parts at a time than the machine has cores, and the
    gradient makes them again. Those of hundreds of scenarios would fill hundreds of
    megabytes, and take more time to write and to read than to make. There is no
    gradient forward, as `tf.autodiff.ForwardAccumulator` would take it.

    Args:
        make: Makes a part's kernels, of its own tensors and the shared ones.
        rows: `(rows, input_dim)` or `(tiles, rows, input_dim)`, for each part.
        own: Sequences of a tensor for each part.
        shared: What all kernels are made of.

    Returns:
        `(rows, units)` or `(tiles, rows, units)`, for each part.
    """

    @tf.custom_gradient
    def multiply(rows: Any, own: Any, shared: Any) -> tuple[list[tf.Tensor], Any]:
        def gradient(*upstream: tf.Tensor) -> tuple[Any, Any, Any]:
            turns = _Turns()
            of_rows, of_own, of_shared = [], [], []
            for part, mine, above in zip(rows, own, upstream, strict=True):
                above, *mine = turns.take(above, *mine)
                with tf.GradientTape() as tape:
                    tape.watch([mine, shared])
                    kernel = make(*mine, *shared)
                of_rows.append(tf.matmul(above, kernel, transpose_b=True))
                of_kernel = tf.matmul(part, above, transpose_a=True)
                of_mine, of_all = tape.gradient(kernel, [mine, shared], of_kernel)
                of_own.append(of_mine)
                of_shared.append(of_all)
                turns.end(of_rows[-1], *of_mine, *of_all)
            return of_rows, of_own, list(map(tf.add_n, zip(*of_shared, strict=True)))

        turns = _Turns()
        products = []
        for part, mine in zip(rows, own, strict=True):
            kernel = make(*turns.take(*mine), *shared)
            products.append(tf.matmul(part, kernel))
            turns.end(products[-1])
        return products, gradient

    return multiply(list(rows), list(map(list, zip(*own, strict=True))), list(shared))


class _Turns:
    """Limits how many parts are worked on at a time to the number of cores.

    A part's work begins when that of the part so many turns before has ended.
    TensorFlow begins whatever it has the inputs of, so without this the first step of
    all parts would come before the second of any.
    """

    def __init__(self) -> None:
        self._ended: list[Sequence[tf.Tensor]] = [()] * (os.cpu_count() or 1)

    def take(self, *inputs: tf.Tensor) -> list[tf.Tensor]:
        """The inputs, when it is the turn of what is done with them."""
        with tf.control_dependencies(self._ended.pop(0)):
            return list(map(tf.identity, inputs))

    def end(self, *outputs: tf.Tensor) -> None:
        """Ends the turn, with these."""
        self._ended.append(outputs)

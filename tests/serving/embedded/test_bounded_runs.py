"""Graphs that end by themselves, and others."""

import pytest
import tensorflow as tf

from serving.embedded.bounded_runs import is_bounded

VECTOR = [tf.TensorSpec([None], tf.float32)]


def graph_of(function, signature=VECTOR):
    """The graph of a function, whose last node is what it returns."""
    concrete = tf.function(function, input_signature=signature).get_concrete_function()
    graph = concrete.graph.as_graph_def()
    return graph, [tensor.name for tensor in concrete.outputs]


def bounded(function, signature=VECTOR):
    return is_bounded(*graph_of(function, signature))


@tf.function
def halved(x):
    return x / 2


@tf.function
def drained(x):
    return tf.while_loop(
        lambda x: tf.reduce_any(x > 0), lambda x: [x - 1], [x], maximum_iterations=9
    )[0]


def test_arithmetic_and_branches():
    def score(x):
        branch = tf.cond(tf.size(x) > 2, lambda: halved(x), lambda: x)
        return tf.switch_case(tf.size(x), [lambda: branch, lambda: branch + 1])

    assert bounded(score)


def test_tables_and_examples():
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([0], tf.int64)), 1
    )
    weights = tf.Variable([[1.0], [2.0]])

    def score(examples):
        kind = tf.io.FixedLenFeature([], tf.string)
        parsed = tf.io.parse_example(examples, {"kind": kind})
        return tf.nn.embedding_lookup(weights, table.lookup(parsed["kind"]))

    assert bounded(score, [tf.TensorSpec([None], tf.string)])


@pytest.mark.parametrize(
    "score",
    [
        drained,
        lambda x: tf.cond(tf.size(x) > 2, lambda: drained(x), lambda: x),
        lambda x: tf.map_fn(lambda one: one + 1, x),
        lambda x: tf.numpy_function(lambda x: x, [x], tf.float32),
        lambda x: tf.numpy_function(lambda x: x, [x], tf.float32, stateful=False),
        lambda x: tf.data.Dataset.from_tensor_slices(x).reduce(0.0, lambda a, b: a + b),
    ],
    ids=["loop", "loop in a branch", "map", "Python", "pure Python", "data set"],
)
def test_what_may_not_end(score):
    assert not bounded(score)


def test_what_may_wait():
    def score(x):
        queue = tf.queue.FIFOQueue(1, [tf.float32], [[]])
        return queue.dequeue() + x

    assert not bounded(score)


def test_only_what_is_fetched_counts():
    graph, (slow, quick) = graph_of(lambda x: (drained(x), halved(x)))

    assert is_bounded(graph, [quick])
    assert not is_bounded(graph, [slow])
    assert not is_bounded(graph, [quick, slow])


def test_an_operation_that_nobody_knows():
    graph, fetches = graph_of(lambda x: tf.math.exp(x))
    for node in graph.node:
        if node.op == "Exp":
            node.op = "ExpOfTomorrow"

    assert not is_bounded(graph, fetches)

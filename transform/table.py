"""Transformed rows in memory, for batches at the speed of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

Columns = dict[str, tf.Tensor | tf.RaggedTensor]

_PARSED_AT_ONCE = 16_384
_MIX = np.uint64(0x9E3779B97F4A7C15)


def read_table(records: tf.data.Dataset, feature_spec: Mapping[str, object]) -> Columns:
    """Parses serialized examples, all of them.

    Args:
        records: Strings of shape ().
        feature_spec: As for `tf.io.parse_example`.

    Returns:
        By feature: a tensor of shape (rows, ...), ragged where the specification is a
        `VarLenFeature`. In the records' order.
    """

    def parse(examples: tf.Tensor) -> Columns:
        parsed = tf.io.parse_example(examples, feature_spec)
        return {
            name: tf.RaggedTensor.from_sparse(value)
            if isinstance(value, tf.SparseTensor)
            else value
            for name, value in parsed.items()
        }

    batches = records.batch(_PARSED_AT_ONCE).map(
        parse, num_parallel_calls=tf.data.AUTOTUNE
    )
    # Columns that a GPU held would be copied back for each batch.
    with tf.device("CPU:0"):
        parts = list(batches) or [parse(tf.constant([], tf.string))]
        return {name: tf.concat([p[name] for p in parts], 0) for name in parts[0]}


def sort_table(columns: Columns) -> Columns:
    """Brings rows into the order of their values.

    Beam leaves the order of rows in files, and of features in a serialized row, to
    chance.
    """
    names = sorted(columns)
    with tf.device("CPU:0"):
        order = np.lexsort([key for name in names for key in _keys(columns[name])])
        return _gather(columns, order)


def table_batches(
    columns: Columns,
    batch_size: int,
    *,
    seed: int | None = None,
    chances: tf.Tensor | None = None,
) -> tf.data.Dataset:
    """Batches of a table's rows.

    Args:
        columns: As of `read_table`.
        batch_size: Rows a batch; the last one may have fewer.
        seed: Seed of the orders: each epoch has its own. Default: rows stay in theirs.
        chances: Float of shape (rows,), each row's chance to be in an epoch, drawn anew
            for each; with a seed only. Default: all rows are in all epochs.

    Returns:
        By column, a tensor of shape (batch, ...).
    """
    rows = int(next(iter(columns.values())).shape[0])

    def epoch(seeds: tf.Tensor | None = None) -> tf.data.Dataset:
        order = tf.range(rows)
        if seeds is not None:
            # One permutation an epoch, not a buffer that each row passes through.
            order = tf.argsort(
                tf.random.stateless_uniform([rows], seeds[:2], dtype=tf.float64)
            )
            if chances is not None:
                drawn = tf.random.stateless_uniform([rows], seeds[2:]) < chances
                order = tf.boolean_mask(order, tf.gather(drawn, order))
        starts = tf.data.Dataset.range(0, tf.size(order, tf.int64), batch_size)
        return starts.map(
            lambda start: _gather(columns, order[start : start + batch_size]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    if seed is None:
        return epoch()
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    batches = seeds.batch(4).take(1).flat_map(epoch)
    if chances is None:
        size = tf.data.experimental.assert_cardinality(-(-rows // batch_size))
        batches = batches.apply(size)
    return batches


def _gather(columns: Columns, rows: tf.Tensor) -> Columns:
    return {name: tf.gather(value, rows) for name, value in columns.items()}


def _keys(column: tf.Tensor | tf.RaggedTensor) -> Sequence[np.ndarray]:
    """What rows are sorted by: values, or of lists their lengths and a digest.

    A key for each place would take as much memory as if all rows were as long as the
    longest one.
    """
    if not isinstance(column, tf.RaggedTensor):
        return [column.numpy()]
    lengths = column.row_lengths().numpy()
    rows = column.value_rowids().numpy()
    place = (np.arange(len(rows)) - column.row_starts().numpy()[rows]).astype(np.uint64)
    # Odd factors, another one for each place: so order counts, and no value is lost.
    digests = np.zeros(len(lengths), np.uint64)
    values = column.flat_values.numpy().astype(np.uint64) + np.uint64(1)
    np.add.at(digests, rows, values * _MIX * (np.uint64(2) * place + np.uint64(1)))
    return [lengths, digests]

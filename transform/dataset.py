"""The models' features: batches of them for `model.fit`, and the same in serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from midpg_tf.names import safe_name
from midpg_tf.spec import DatasetSpec
from transform.preprocessing import pad
from transform.table import read_table, sort_table, table_batches

_SHUFFLED_ROWS = 100_000
_BYTES_IN_MEMORY = 64 << 20
_FILES_AT_ONCE = 4
_DRAWN_AT_ONCE = 1024


class TransformRaw(tf.Module):
    """The saved transformations, from raw features to the model's, for serving.

    A module, so that what has it as an attribute is saved with the tables of its
    vocabularies.

    Args:
        tft_output: What TensorFlow Transform wrote.
    """

    def __init__(self, tft_output: tft.TFTransformOutput) -> None:
        super().__init__()
        self.layer = tft_output.transform_features_layer()

    def __call__(
        self, raw: Mapping[str, tf.Tensor | tf.SparseTensor]
    ) -> dict[str, tf.Tensor]:
        """Transforms what is parsed by `raw_feature_spec` without label.

        Args:
            raw: The raw features.

        Returns:
            The same features as `transformed_dataset` gives.
        """
        return pad(self.layer(raw))


def vocabularies(
    tft_output: tft.TFTransformOutput, spec: DatasetSpec
) -> dict[str, list[str]]:
    """The values of each vocabulary, for `DatasetSpec.build_model`.

    Args:
        tft_output: What TensorFlow Transform wrote.
        spec: The description.

    Returns:
        By categorical or multivalued feature: the values in the order of their ids.
        TensorFlow Transform puts a placeholder in a vocabulary without any value.
    """
    return {
        name: [
            value.decode(errors="backslashreplace")
            for value in tft_output.vocabulary_by_name(safe_name(name))
        ]
        for name in spec.vocabulary_features
    }


def transformed_dataset(
    files: str | Sequence[str],
    tft_output: tft.TFTransformOutput,
    spec: DatasetSpec,
    batch_size: int,
    *,
    seed: int | None = None,
    negative_rate: float = 1.0,
    extra: Sequence[str] = (),
) -> tf.data.Dataset:
    """Reads transformed examples.

    Args:
        files: Patterns of GZIP-compressed TFRecord files.
        tft_output: What TensorFlow Transform wrote.
        spec: The description.
        batch_size: Rows a batch; the last one may have fewer.
        seed: Seed of the order, another one in each epoch, as for training. Up to
            64 MiB of files, rows are held in memory, and a seed gives the same order
            for the same rows, whatever their order in the files, which Beam leaves to
            chance. Default: rows always come in the same order, in which up to four
            files take turns.
        negative_rate: Share of the rows with label 0 that are kept, drawn anew in each
            epoch; only with a seed. Default: all.
        extra: Other columns of the files that come among the features. Default: none.

    Returns:
        Batches `(features, label)`, and `(features, label, weight)` if the description
        names a weight. Ids are int64, numbers float32, label and weight float32, all of
        shape (batch,), but multivalued ids (batch, longest), padded with -1.

    Raises:
        FileNotFoundError: If no file matches.
    """
    paths = sorted(tf.io.gfile.glob(files))
    if not paths:
        raise FileNotFoundError(f"expected files that match {files}, found none")
    found = tft_output.transformed_feature_spec()
    feature_spec = {
        name: found[name] for name in (*spec.features, *spec.targets, *extra)
    }

    def split(features: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        features = pad(features)
        return (features, *[features.pop(name) for name in spec.targets])

    if sum(tf.io.gfile.stat(path).length for path in paths) <= _BYTES_IN_MEMORY:
        table = read_table(_records(paths), feature_spec)
        table = table if seed is None else sort_table(table)
        chances = None
        if seed is not None and negative_rate < 1:
            chances = _chances(table[spec.label.name], negative_rate)
        rows = table_batches(table, batch_size, seed=seed, chances=chances)
    else:
        rows = _records(paths, seed)
        if seed is not None and negative_rate < 1:
            rows = _draw(rows, spec.label.name, negative_rate, seed)
        rows = rows.batch(batch_size).map(
            lambda examples: tf.io.parse_example(examples, feature_spec),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    batches = rows.map(split, num_parallel_calls=tf.data.AUTOTUNE).prefetch(
        tf.data.AUTOTUNE
    )
    return batches.with_options(_without_tuning())


def _without_tuning() -> tf.data.Options:
    """Default parallelism, for epochs that end when their rows do.

    An iterator's end waits for its tuning's next round, 2.6 or 5.1 s from the first
    batch, or 10, ...: an epoch could take twice its time.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _chances(label: tf.Tensor, negative_rate: float) -> tf.Tensor:
    return tf.where(label > 0, 1.0, negative_rate)


def _draw(
    records: tf.data.Dataset, label: str, negative_rate: float, seed: int
) -> tf.data.Dataset:
    """Drops serialized rows, before the rest of them is parsed."""
    spec = {label: tf.io.FixedLenFeature([], tf.float32)}

    def keep(examples: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        labels = tf.io.parse_example(examples, spec)[label]
        drawn = tf.random.stateless_uniform(tf.shape(labels), seeds)
        return tf.boolean_mask(examples, drawn < _chances(labels, negative_rate))

    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    batches = tf.data.Dataset.zip((records.batch(_DRAWN_AT_ONCE), seeds))
    return batches.map(keep, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


def _records(paths: Sequence[str], seed: int | None = None) -> tf.data.Dataset:
    """The files' records, with a seed in another order in each epoch."""
    files = tf.data.Dataset.from_tensor_slices(list(paths))
    if seed is not None:
        files = files.shuffle(len(paths), seed=seed)
    records = files.interleave(
        lambda path: tf.data.TFRecordDataset(path, "GZIP"),
        cycle_length=_FILES_AT_ONCE,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return records if seed is None else records.shuffle(_SHUFFLED_ROWS, seed=seed)

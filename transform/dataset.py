"""The models' features: batches of them for `model.fit`, and the same in serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_transform as tft

from midpg_tf.spec import DatasetSpec
from transform.preprocessing import pad, vocabulary_name

_SHUFFLED_ROWS = 100_000
_SORTED_BYTES = 64 << 20
_FILES_AT_ONCE = 4


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
            value.decode(errors="replace")
            for value in tft_output.vocabulary_by_name(vocabulary_name(name))
        ]
        for name in spec.vocabularies
    }


def transformed_dataset(
    files: str | Sequence[str],
    tft_output: tft.TFTransformOutput,
    spec: DatasetSpec,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
) -> tf.data.Dataset:
    """Reads transformed examples.

    Args:
        files: Patterns of GZIP-compressed TFRecord files.
        tft_output: What TensorFlow Transform wrote.
        spec: The description.
        batch_size: Rows a batch; the last one may have fewer.
        shuffle: Whether rows are in another order in each epoch, as for training.
            Otherwise they are always in the files' order.
        seed: Seed of the order. Up to 64 MiB of files it gives the same order for the
            same rows, whatever their order in the files, which Beam leaves to chance.

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
    files = tf.data.Dataset.from_tensor_slices(paths)
    rows = _shuffled(paths, seed) if shuffle else _records(files)
    feature_spec = tft_output.transformed_feature_spec()

    def parse(examples: tf.Tensor) -> tuple[dict[str, tf.Tensor] | tf.Tensor, ...]:
        features = pad(tf.io.parse_example(examples, feature_spec))
        names = filter(None, (spec.label.name, spec.weight))
        targets = tuple(features.pop(name) for name in names)
        return (features, *targets)

    return (
        rows.batch(batch_size)
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _records(files: tf.data.Dataset) -> tf.data.Dataset:
    return files.interleave(
        lambda path: tf.data.TFRecordDataset(path, "GZIP"),
        cycle_length=_FILES_AT_ONCE,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _shuffled(paths: Sequence[str], seed: int) -> tf.data.Dataset:
    files = tf.data.Dataset.from_tensor_slices(paths)
    if sum(tf.io.gfile.stat(path).length for path in paths) > _SORTED_BYTES:
        rows = _records(files.shuffle(len(paths), seed=seed))
        return rows.shuffle(_SHUFFLED_ROWS, seed=seed)
    records = sorted(_records(files).as_numpy_iterator())
    rows = tf.data.Dataset.from_tensor_slices(records)
    return rows.shuffle(max(len(records), 1), seed=seed)

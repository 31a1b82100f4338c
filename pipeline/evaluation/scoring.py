"""Scores of exported models on raw examples: what production would answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from midpg_tf.names import scenario_name
from midpg_tf.spec import DatasetSpec
from pipeline.evaluation.bootstrap import clusters_of
from pipeline.evaluation.rows import SplitRows
from serving.features import lost_features
from serving.signatures import DEFAULT_SIGNATURE, RAW_SIGNATURE, SCORE
from transform.preprocessing import raw_feature_spec

_BATCH = 4096


def read_rows(
    files: Sequence[str], spec: DatasetSpec, cluster_by: str | None
) -> tuple[SplitRows, list[bytes]]:
    """Reads GZIP-compressed TFRecords of raw tf.Examples.

    Args:
        files: Patterns of files.
        spec: The description.
        cluster_by: The feature whose values are the clusters. None: each row is one.

    Returns:
        What figures need, and the serialized examples.
    """
    records = tf.data.TFRecordDataset(sorted(tf.io.gfile.glob(files)), "GZIP")
    features = raw_feature_spec(spec, with_label=True)
    needed = [*spec.targets, *spec.scenario, *filter(None, [cluster_by])]
    parse = {name: features[name] for name in needed}
    examples: list[bytes] = []
    columns: dict[str, list[np.ndarray]] = {name: [] for name in parse}
    for batch in records.batch(_BATCH):
        examples.extend(batch.numpy())
        for name, values in tf.io.parse_example(batch, parse).items():
            columns[name].append(values.numpy())
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    labels = joined[spec.label.name]
    fields = [joined[name] for name in spec.scenario]
    names = [
        scenario_name(value.decode() for value in values)
        for values in zip(*fields, strict=True)
    ]
    weights = joined[spec.weight] if spec.weight else np.ones_like(labels)
    clusters = np.arange(len(labels))
    if cluster_by:
        clusters = clusters_of(joined[cluster_by], joined[cluster_by] == b"")
    return SplitRows(labels, weights, np.array(names), clusters), examples


def score(model_path: str, examples: Sequence[bytes]) -> np.ndarray:
    """Runs an exported model's default signature.

    Args:
        model_path: A SavedModel folder.
        examples: Serialized tf.Examples.

    Returns:
        `(rows,)` float32.

    Raises:
        tf.errors.OpError: If the model can't take these examples.
    """
    model = tf.saved_model.load(model_path)
    signature = model.signatures[DEFAULT_SIGNATURE]
    scores = [
        signature(examples=tf.constant(batch))[SCORE].numpy()
        for batch in _batches(examples)
    ]
    return np.concatenate(scores)


def score_version(
    folder: Path, examples: Sequence[bytes], spec: DatasetSpec, model: str
) -> np.ndarray:
    """The scores of a version that was pushed, maybe for another description.

    Args:
        folder: The version's folder.
        examples: Serialized tf.Examples.
        spec: The description that rows are read by.
        model: What the version is, for the message.

    Returns:
        `(rows,)` float32, all of them numbers.

    Raises:
        ValueError: It can't score them, for whatever reason; the message says which.
    """
    try:
        check_features(str(folder), spec)
        found = score(str(folder), examples)
        check_numbers(model, found)
    except (
        OSError,
        ValueError,
        LookupError,
        DecodeError,
        tf.errors.OpError,
    ) as error:
        raise ValueError(f"it can't score these rows: {failure(error)}") from error
    return found


def check_features(model_path: str, spec: DatasetSpec) -> None:
    """Refuses a model of features that the rows haven't been read for.

    A model that has no signature `predict_raw` isn't looked at.

    Args:
        model_path: A SavedModel folder.
        spec: The description that rows are read by.

    Raises:
        ValueError: The model takes a feature that the description lacks, or has as
            another kind.
        OSError: If there is no model.
        DecodeError: If it is damaged.
    """
    content = (Path(model_path) / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    lost = lost_features(graph.signature_def[RAW_SIGNATURE], spec)
    if lost:
        raise ValueError(
            f"it takes {', '.join(lost)}, which the data-set file doesn't have, or has"
            " as another kind of feature"
        )


def check_numbers(model: str, scores: np.ndarray) -> None:
    """Refuses scores that nothing can be compared with.

    Args:
        model: Whose they are, for the message.
        scores: `(rows,)`.

    Raises:
        ValueError: If some are no numbers.
    """
    wrong = int((~np.isfinite(scores)).sum())
    if wrong:
        raise ValueError(
            f"{model}: expected scores from 0 to 1, found {wrong:,} of"
            f" {len(scores):,} that are no numbers: its training diverged; lower"
            " training.learning_rate, or check the rows' numeric features"
        )


def failure(error: Exception) -> str:
    """The first line of an error that says what is wrong.

    Args:
        error: Of a model that was loaded or scored.
    """
    # TensorFlow tells first where a failed operation was defined.
    text = str(error).rpartition("<stack traces unavailable>")[2].strip()
    return text.splitlines()[0] if text else type(error).__name__


def _batches(examples: Sequence[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(examples), _BATCH):
        yield list(examples[start : start + _BATCH])

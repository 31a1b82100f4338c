"""TensorFlow Transform's `preprocessing_fn`, derived from a data-set description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from midpg_tf.names import EMPTY, safe_name
from midpg_tf.spec import (
    DatasetSpec,
    MultivaluedFeature,
    NumericFeature,
)

# Below this ratio of standard deviation and mean, a column that is constant in float32
# can't be told from one that varies.
_CONSTANT = 1e-6


def raw_feature_spec(
    spec: DatasetSpec, *, with_label: bool
) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    """How serialized tf.Examples of raw rows are parsed.

    Args:
        spec: The description.
        with_label: Whether they have label and weight, as files have and requests
            don't.

    Returns:
        By feature: a scalar, string or float32; a list of strings if multivalued.
    """
    features = {}
    for name, feature in spec.features.items():
        if isinstance(feature, MultivaluedFeature):
            features[name] = tf.io.VarLenFeature(tf.string)
        else:
            is_number = isinstance(feature, NumericFeature)
            dtype = tf.float32 if is_number else tf.string
            features[name] = tf.io.FixedLenFeature([], dtype)
    if with_label:
        for name in spec.targets:
            features[name] = tf.io.FixedLenFeature([], tf.float32)
    return features


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor | tf.SparseTensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Turns raw features into what the models take.

    Categorical features become ids: those of the vocabulary by falling frequency, then
    the out-of-vocabulary buckets, where empty values go too, except those of scenario
    fields, which are a value of their own: `EMPTY`. Numeric features become z-scores,
    for `log` those of log(1 + max(x, 0)); a column that is constant in the train split
    becomes 0. `bucketize` gives the index of a quantile.

    Multivalued features stay sparse, so that files don't hold the padding; `pad` makes
    them dense, in training and in serving.

    Args:
        inputs: Tensors of shape (batch,), sparse ones of shape (batch, any) for
            multivalued features. Label and weight may be missing.
        custom_config: `{"spec": spec.to_json()}`.

    Returns:
        By feature: int64 ids or float32 numbers of shape (batch,), or a sparse tensor
        of int64 ids of shape (batch, any). The label: float32, as it was. The weight:
        float32, in units of its mean in the train split, since what a loss has beside
        the rows' part, such as `l2`, would else depend on its unit.

    Raises:
        ValueError: If a feature is not of the shape that `raw_feature_spec` gives it.
    """
    spec = DatasetSpec.from_json(custom_config["spec"])
    outputs = {}
    for name, feature in spec.features.items():
        value = inputs[name]
        _check_shape(name, value, isinstance(feature, MultivaluedFeature))
        if not isinstance(feature, NumericFeature):
            if name in spec.scenario:
                # A vocabulary has no empty value: it would be one never seen.
                value = tf.where(tf.equal(value, ""), EMPTY, value)
            # A threshold of 1 does nothing but log a warning.
            threshold = feature.min_count if feature.min_count > 1 else None
            outputs[name] = tft.compute_and_apply_vocabulary(
                value,
                frequency_threshold=threshold,
                num_oov_buckets=feature.oov_buckets,
                vocab_filename=safe_name(name),
            )
        elif feature.transform == "bucketize":
            outputs[name] = tft.bucketize(value, feature.buckets)
        elif feature.transform == "log":
            outputs[name] = _zscore(tf.math.log1p(tf.maximum(value, 0.0)))
        else:
            outputs[name] = _zscore(value)
    if spec.label.name in inputs:
        outputs[spec.label.name] = tf.identity(inputs[spec.label.name])
    if spec.weight and spec.weight in inputs:
        outputs[spec.weight] = _relative(inputs[spec.weight])
    return outputs


def pad(
    features: Mapping[str, tf.Tensor | tf.SparseTensor | tf.RaggedTensor],
) -> dict[str, tf.Tensor]:
    """Makes multivalued features dense, for the models.

    Args:
        features: What `preprocessing_fn` gives; its sparse ids may also be ragged.

    Returns:
        The same, but these as an int64 tensor of shape (batch, longest), where rows
        are padded with -1. `longest` is 0 if no row has a value.
    """
    return {name: _dense(value) for name, value in features.items()}


def _dense(value: tf.Tensor | tf.SparseTensor | tf.RaggedTensor) -> tf.Tensor:
    if isinstance(value, tf.SparseTensor):
        return tf.sparse.to_dense(value, default_value=-1)
    if isinstance(value, tf.RaggedTensor):
        return value.to_tensor(-1)
    return value


def _zscore(value: tf.Tensor) -> tf.Tensor:
    # `tft.scale_to_z_score` takes the rounding error of a constant column's mean for
    # its deviation, and then blows up whatever else is served.
    x = tf.cast(value, tf.float64)
    mean = tft.mean(x)
    deviation = tf.sqrt(tft.var(x))
    varies = deviation > _CONSTANT * tf.abs(mean)
    scores = tf.where(varies, (x - mean) / tf.where(varies, deviation, 1.0), 0.0)
    return tf.cast(scores, tf.float32)


def _relative(value: tf.Tensor) -> tf.Tensor:
    x = tf.cast(value, tf.float64)
    return tf.cast(tf.math.divide_no_nan(x, tft.mean(x)), tf.float32)


def _check_shape(
    name: str, value: tf.Tensor | tf.SparseTensor, multivalued: bool
) -> None:
    expected = "a sparse tensor" if multivalued else "a tensor of shape (batch,)"
    if isinstance(value, tf.SparseTensor) != multivalued or (
        not multivalued and value.shape.rank != 1
    ):
        raise ValueError(
            f"feature {name!r}: expected {expected}, found {value}; make the schema"
            " from transform.preprocessing.raw_feature_spec"
        )

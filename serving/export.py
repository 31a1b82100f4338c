"""The exported model: raw features in, scores out, with the transformations inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from midpg_tf.models import RankingModel
from midpg_tf.names import safe_name
from midpg_tf.spec import DatasetSpec, MultivaluedFeature, NumericFeature
from serving.signatures import (
    CONTEXT_SIGNATURE,
    DEFAULT_SIGNATURE,
    EXAMPLES,
    RAW_SIGNATURE,
    REGRESS,
    SCORE,
)

Features = Mapping[str, tf.Tensor]


class ServingModel(tf.Module):
    """A model together with the transformations of its features.

    A number that is NaN stands for an empty cell: it becomes the feature's `default`,
    as in training. One that isn't finite then is an error, INVALID_ARGUMENT in
    TensorFlow Serving, since a model would give it some score.

    Args:
        spec: The data-set description, which gives the names of the raw features.
        model: Takes transformed features.
        transform: From raw features, dense or sparse as `parse` gives them, to
            transformed ones. Its tables must be tracked by it, as TensorFlow
            Transform's layer does, or serving finds them not initialised.
        raw_features: The parsing specification of a tf.Example without label.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        model: RankingModel,
        transform: Callable[[Features], Features],
        raw_features: Mapping[str, object],
    ) -> None:
        super().__init__()
        self.spec = spec
        self.model = model
        self.score = model.scorer()
        self.transform = transform
        self.raw_features = dict(raw_features)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=EXAMPLES)])
    def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of serialized tf.Examples `(batch,)`: float32 `(batch,)`."""
        return {SCORE: self.score(self._features(self._parsed(examples)))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress_examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same by the names that the method Regress has for input and output."""
        return {"outputs": self.score_examples(inputs)[SCORE]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=EXAMPLES)])
    def transform_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """The model's features of serialized tf.Examples `(batch,)`."""
        return dict(self._features(self._parsed(examples)))

    def score_tensors(self, **features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of raw tensors `(batch,)`; multivalued `(batch, any)`, "" for none."""
        raw = {
            name: tf.sparse.from_dense(features[safe_name(name)])
            if isinstance(feature, MultivaluedFeature)
            else features[safe_name(name)]
            for name, feature in self.spec.features.items()
        }
        return {SCORE: self.score(self._features(raw))}

    def tensor_signature(self) -> dict[str, tf.TensorSpec]:
        """The inputs of `score_tensors`, by the features' `safe_name`."""
        return {
            safe_name(name): tf.TensorSpec(
                [None, None] if isinstance(feature, MultivaluedFeature) else [None],
                tf.float32 if isinstance(feature, NumericFeature) else tf.string,
                name=safe_name(name),
            )
            for name, feature in self.spec.features.items()
        }

    def _parsed(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed: dict[str, tf.Tensor]
        parsed = tf.io.parse_example(examples, self.raw_features)
        return parsed

    def _features(self, raw: Features) -> Features:
        """The model's features."""
        complete = dict(raw)
        for name, feature in self.spec.features.items():
            if isinstance(feature, NumericFeature):
                numbers = raw[name]
                if feature.default is not None:
                    numbers = tf.where(
                        tf.math.is_nan(numbers), feature.default, numbers
                    )
                complete[name] = tf.debugging.check_numerics(
                    numbers, f"feature {name}: expected finite numbers"
                )
        return self.transform(complete)


def export(serving_model: ServingModel, path: str) -> None:
    """Writes a SavedModel for TensorFlow Serving.

    Its signatures are `serving_default` (serialized tf.Examples `examples`, string
    `(batch,)`, to `score`, float32 `(batch,)`), `regress` (the same as `inputs` and
    `outputs`, for the method Regress), `predict_raw` (a tensor for each raw feature, by
    its `safe_name`, to `score`), and `transform_features` (serialized tf.Examples, to
    the model's features).

    Args:
        serving_model: What to write.
        path: A folder that doesn't exist yet, or is empty.
    """
    tensors = tf.function(serving_model.score_tensors).get_concrete_function(
        **serving_model.tensor_signature()
    )
    tf.saved_model.save(
        serving_model,
        path,
        signatures={
            DEFAULT_SIGNATURE: serving_model.score_examples,
            CONTEXT_SIGNATURE: serving_model.regress_examples,
            RAW_SIGNATURE: tensors,
            "transform_features": serving_model.transform_examples,
        },
    )
    # `save` calls every signature's method Predict, and the server goes by it.
    utils = tf.compat.v1.saved_model.signature_def_utils
    updater = utils.MethodNameUpdater(path)
    updater.replace_method_name(CONTEXT_SIGNATURE, REGRESS)
    updater.save()

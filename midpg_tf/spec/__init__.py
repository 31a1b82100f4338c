"""The description of a data set, and rows as tf.Example by it."""

from midpg_tf.spec.dataset import DatasetSpec
from midpg_tf.spec.errors import RowError, SpecError
from midpg_tf.spec.examples import ExampleEncoder
from midpg_tf.spec.features import (
    CategoricalFeature,
    FeatureSpec,
    MultivaluedFeature,
    NumericFeature,
    VocabularyFeature,
)
from midpg_tf.spec.gates import OVERALL
from midpg_tf.spec.source import SPLITS

__all__ = [
    "OVERALL",
    "SPLITS",
    "CategoricalFeature",
    "DatasetSpec",
    "ExampleEncoder",
    "FeatureSpec",
    "MultivaluedFeature",
    "NumericFeature",
    "RowError",
    "SpecError",
    "VocabularyFeature",
]

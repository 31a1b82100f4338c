"""The description of a data set, and rows as tf.Example by it."""

from midpg_tf.spec.dataset import DatasetSpec
from midpg_tf.spec.errors import RowError, SpecError, did_you_mean
from midpg_tf.spec.examples import ExampleEncoder, as_text, is_empty, plain
from midpg_tf.spec.features import MultivaluedFeature, NumericFeature
from midpg_tf.spec.gates import OVERALL, Gates
from midpg_tf.spec.model import ModelSpec, Training
from midpg_tf.spec.source import (
    SPLITS,
    ColumnSplit,
    Drift,
    FileSplit,
    HashSplit,
    Split,
    TimeSplit,
)

__all__ = [
    "OVERALL",
    "SPLITS",
    "ColumnSplit",
    "DatasetSpec",
    "Drift",
    "ExampleEncoder",
    "FileSplit",
    "Gates",
    "HashSplit",
    "ModelSpec",
    "MultivaluedFeature",
    "NumericFeature",
    "RowError",
    "SpecError",
    "Split",
    "TimeSplit",
    "Training",
    "as_text",
    "did_you_mean",
    "is_empty",
    "plain",
]

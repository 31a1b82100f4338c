"""Exported models of a made-up data set, whose cost is measured, not what they say.

Their weights are random: an inference costs the same whatever they are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
import tf_keras as keras
from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata

from midpg_tf.spec import DatasetSpec, ModelSpec
from serving.export import ServingModel, export
from serving.signatures import DEFAULT_SIGNATURE, EXAMPLES, SCORE
from transform.dataset import TransformRaw, vocabularies
from transform.preprocessing import preprocessing_fn, raw_feature_spec
from transform.runner import IN_PROCESS

VERSION = "1"
"""The folder of the only version."""

SHARED = ("scenario", "customer", "city", "device", "daypart")
"""Categorical features of the request: all of its candidates have the same values."""

OWN = ("item", "brand", "category", "shop", "colour")
"""Categorical features of a candidate."""

NUMBERS = ("price", "discount", "stock", "age")
"""Numeric features of a candidate."""

_VALUES = 1000
_EMBEDDING = 16


def made_up_spec() -> DatasetSpec:
    """Describes the data: ten categorical features, the scenario one, four numbers."""
    categorical = {"kind": "categorical", "embedding": _EMBEDDING}
    numeric = {"kind": "numeric"}
    return DatasetSpec.model_validate(
        {
            "name": "benchmark",
            "data": {"format": "csv", "path": "none.csv", "split": {"by": "hash"}},
            "label": {"name": "clicked"},
            "scenario": ["scenario"],
            "features": {
                **dict.fromkeys((*SHARED, *OWN), categorical),
                **dict.fromkeys(NUMBERS, numeric),
            },
        }
    )


def made_up_rows(
    count: int, scenarios: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Draws rows; 1,000 of them or more have every value of every feature.

    Args:
        count: Number of rows.
        scenarios: Number of scenarios.
        rng: Draws them.
    """
    columns: dict[str, list[Any]] = {}
    for name in (*SHARED, *OWN):
        values = scenarios if name == "scenario" else _VALUES
        numbers = rng.permutation(np.arange(count) % values)
        columns[name] = [f"{name}-{number}" for number in numbers]
    for name in NUMBERS:
        columns[name] = rng.normal(10.0, 3.0, count).tolist()
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*columns.values(), strict=True)
    ]


def write_transform_graph(scenarios: int, folder: Path) -> tft.TFTransformOutput:
    """Analyses rows as the pipeline does.

    Args:
        scenarios: Number of scenarios in them.
        folder: Where the graph goes; must not exist.
    """
    spec = made_up_spec()
    rows = made_up_rows(
        max(_VALUES, scenarios), scenarios, np.random.default_rng(scenarios)
    )
    process = functools.partial(
        preprocessing_fn, custom_config={"spec": spec.to_json()}
    )
    metadata = DatasetMetadata.from_feature_spec(
        raw_feature_spec(spec, with_label=False)
    )
    with (
        beam.Pipeline(runner=IN_PROCESS) as pipeline,
        tft_beam.Context(temp_dir=str(folder.with_suffix(".temp"))),
    ):
        transform = (pipeline | beam.Create(rows), metadata) | tft_beam.AnalyzeDataset(
            process
        )
        _ = transform | tft_beam.WriteTransformFn(str(folder))
    return tft.TFTransformOutput(str(folder))


def export_model(
    name: str, hidden: Sequence[int], graph: tft.TFTransformOutput, base: Path
) -> Path:
    """Exports a new model as version 1.

    Args:
        name: Name of the model.
        hidden: Widths of the hidden layers.
        graph: The transformations.
        base: The model base path.

    Returns:
        The folder of the version.
    """
    spec = made_up_spec()
    keras.utils.set_random_seed(0)
    model = spec.build_model(
        ModelSpec.model_validate({"name": name, "hidden": list(hidden)}),
        vocabularies(graph, spec),
    )
    raw_features = raw_feature_spec(spec, with_label=False)
    path = base / VERSION
    export(ServingModel(spec, model, TransformRaw(graph), raw_features), str(path))
    return path


class _Trivial(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=EXAMPLES)])
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {SCORE: tf.zeros(tf.shape(examples))}


def export_trivial(base: Path) -> Path:
    """Exports a model that scores any example 0: what is left is the server's own time.

    Args:
        base: The model base path.

    Returns:
        The folder of the version.
    """
    module, path = _Trivial(), base / VERSION
    tf.saved_model.save(module, str(path), signatures={DEFAULT_SIGNATURE: module.score})
    return path

"""Training that starts from the weights of an earlier run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import FeatureEmbedding, PartitionedNormalization
from midpg_tf.losses import InfoNCE, MutualInformation
from midpg_tf.models import RankingModel

KERAS_MODEL = "model.keras"
"""Name of the trained Keras model, in the folder of a training run."""

VOCABULARIES = "vocabularies.json"
"""Name of the vocabularies that the model was trained with, in the same folder."""


def save_run(
    folder: Path, model: RankingModel, vocabularies: Mapping[str, Sequence[str]]
) -> None:
    """Writes what a later run can start from.

    Args:
        folder: The folder of the training run.
        model: The trained model.
        vocabularies: The values of its features, in the order of their ids.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / KERAS_MODEL)
    text = json.dumps(vocabularies, ensure_ascii=False)
    (folder / VOCABULARIES).write_text(text, encoding="utf-8")


def warm_start(
    folder: Path, model: RankingModel, vocabularies: Mapping[str, Sequence[str]]
) -> None:
    """Copies the weights of an earlier run.

    A value's embedding goes to the value's new id, and what a scenario has of its own
    to the scenario's new index: two runs' vocabularies are seldom the same. New values
    and scenarios keep their initial weights. So does the estimator of the mutual
    information, if the scenario fields have other values, or in another order.

    Args:
        folder: The folder of the earlier training run.
        model: The model to start.
        vocabularies: The values of its features, in the order of their ids.

    Raises:
        ValueError: If there is no such run, or its model has other settings.
    """
    check_run(folder)
    source = keras.models.load_model(folder / KERAS_MODEL)
    _check_settings(folder, source, model)
    old = json.loads((folder / VOCABULARIES).read_text(encoding="utf-8"))
    features = _features_of_tables(model)
    by_scenario = _scenario_weights(model)
    scenarios = _scenarios(model.scenario, old, vocabularies)
    estimator = set()
    if any(old[field] != list(vocabularies[field]) for field in model.scenario):
        estimator = _estimator_weights(model)
    for weight, earlier in zip(_weights(model), _weights(source), strict=True):
        name = features.get(weight.ref(), "")
        if name in vocabularies:
            rows = _rows(old[name], vocabularies[name], earlier.shape[0])
            size = weight.shape[0]
            # Fewer or more ids may be out-of-vocabulary ones now.
            rows = np.pad(rows, (0, size), constant_values=-1)[:size]
            weight.assign(_moved(weight, earlier, rows))
        elif weight.ref() in by_scenario:
            weight.assign(_moved(weight, earlier, scenarios))
        elif weight.ref() not in estimator and weight.shape == earlier.shape:
            weight.assign(earlier)


def check_run(folder: Path) -> None:
    """Raises ValueError if a folder isn't that of a training run."""
    for name in (KERAS_MODEL, VOCABULARIES):
        if not (folder / name).exists():
            raise ValueError(
                f"training.warm_start: expected the folder of a training run, with"
                f" {KERAS_MODEL} and {VOCABULARIES}, found no {name} in {folder}"
            )


def _check_settings(folder: Path, source: RankingModel, model: RankingModel) -> None:
    found, expected = source.get_config(), model.get_config()
    for config, one in ((found, source), (expected, model)):
        config["name"] = type(one).__name__
        # Cardinalities may differ; names, kinds and widths may not.
        config["features"] = [
            (item.name, type(item).__name__, getattr(item, "embedding", None))
            for item in one.features
        ]
    for key, value in expected.items():
        if found.get(key) != value:
            raise ValueError(
                f"training.warm_start: expected a model with {key}={value}, found"
                f" {found.get(key)} in {folder}"
            )


def _features_of_tables(model: RankingModel) -> dict[Any, str]:
    return {
        table.ref(): name
        for layer in model.submodules
        if isinstance(layer, FeatureEmbedding)
        for name, table in layer.tables.items()
    }


def _weights(model: RankingModel) -> list[tf.Variable]:
    """What training changes: the statistics of normalisations, too."""
    moving = [
        weight
        for layer in model.submodules
        if isinstance(layer, PartitionedNormalization)
        for weight in layer.non_trainable_weights
    ]
    return [*model.trainable_weights, *moving]


def _scenario_weights(model: RankingModel) -> set[Any]:
    return {
        weight.ref()
        for layer in model.submodules
        for weight in getattr(layer, "scenario_weights", ())
    }


def _estimator_weights(model: RankingModel) -> set[Any]:
    return {
        weight.ref()
        for layer in model.submodules
        if isinstance(layer, InfoNCE | MutualInformation)
        for weight in layer.trainable_weights
    }


def _moved(weight: tf.Variable, earlier: tf.Variable, rows: np.ndarray) -> np.ndarray:
    """The weight with the earlier one's rows, or groups of rows, in their new places.

    Args:
        weight: Has as many groups as `rows`.
        earlier: The weight of the earlier run.
        rows: For each group the earlier one, -1 for none.
    """
    value = weight.numpy()
    each = len(value) // len(rows)
    groups = value.reshape(len(rows), each, *value.shape[1:])
    known = rows >= 0
    before = earlier.numpy().reshape(-1, each, *value.shape[1:])
    groups[known] = before[rows[known]]
    return value


def _scenarios(
    fields: Sequence[str],
    old: Mapping[str, Sequence[str]],
    new: Mapping[str, Sequence[str]],
) -> np.ndarray:
    """For each new scenario index the old one, -1 for none; the unknown comes last."""
    index = np.zeros(1, int)
    for field in fields:
        place = _rows(old[field], new[field], len(old[field]))
        both = index[:, np.newaxis] * len(old[field]) + place
        index = np.where((index[:, np.newaxis] < 0) | (place < 0), -1, both).ravel()
    return np.array([*index, math.prod(len(old[field]) for field in fields)])


def _rows(old: Sequence[str], new: Sequence[str], old_rows: int) -> np.ndarray:
    """For each new id the old one, -1 for none; out-of-vocabulary ids come last."""
    position = {value: row for row, value in enumerate(old)}
    known = [position.get(value, -1) for value in new]
    return np.array([*known, *range(len(old), old_rows)])

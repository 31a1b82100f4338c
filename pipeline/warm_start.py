"""Training that starts from the weights of an earlier run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from midpg_tf.layers import FeatureEmbedding, PartitionedNormalization
from midpg_tf.losses import Sketch
from midpg_tf.models import RankingModel
from pipeline.training_run import check_run, load_run


def warm_start(
    folder: Path, model: RankingModel, vocabularies: Mapping[str, Sequence[str]]
) -> None:
    """Copies the weights of an earlier run.

    A value's embedding goes to the value's new id, and what a scenario has of its own
    to the scenario's new index: two runs' vocabularies are seldom the same. New values
    and scenarios keep their initial weights. So does the estimator of the mutual
    information, if the scenario fields have other values, or in another order. Which
    scenarios have training rows is found anew: what others have of their own, this
    run's regularisation alone would change.

    Args:
        folder: The folder of the earlier training run.
        model: The model to start.
        vocabularies: The values of its features, in the order of their ids.

    Raises:
        ValueError: If there is no such run, or its model has other settings.
    """
    check_run(folder)
    source, old = load_run(folder)
    _check_settings(folder, source, model)
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
    """What training changes or relies on: statistics and projections, too."""
    others = [
        weight
        for layer in model.submodules
        if isinstance(layer, PartitionedNormalization | Sketch)
        for weight in layer.non_trainable_weights
    ]
    return [*model.trainable_weights, *others]


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
        if isinstance(layer, Sketch)
        for weight in layer.weights
    }


def _moved(weight: tf.Variable, earlier: tf.Variable, rows: np.ndarray) -> np.ndarray:
    """The weight with the earlier one's rows, or groups of rows, in their new places.

    Args:
        weight: Has as many groups as `rows`.
        earlier: The weight of the earlier run.
        rows: For each group the earlier one, -1 for none.
    """
    value, before = weight.numpy(), earlier.numpy()
    # (groups, entries of one)
    groups = value.reshape(len(rows), -1)
    before = before.reshape(-1, groups.shape[1])
    moved = np.where(rows[:, np.newaxis] < 0, groups, before[rows])
    return moved.reshape(value.shape)


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

"""Training that starts from the weights of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

from midpg_tf.layers import FeatureEmbedding
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

    A value's embedding goes to the value's new id: two runs' vocabularies are seldom
    the same. Values that are new keep their initial embedding, as do weights whose
    shape depends on the number of values.

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
    for weight, earlier in zip(
        model.trainable_weights, source.trainable_weights, strict=True
    ):
        name = features.get(weight.ref(), "")
        if name in vocabularies:
            rows = _rows(old[name], vocabularies[name], earlier.shape[0])
            value = weight.numpy()
            known = rows >= 0
            value[: len(rows)][known] = earlier.numpy()[rows[known]]
            weight.assign(value)
        elif weight.shape == earlier.shape:
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


def _rows(old: Sequence[str], new: Sequence[str], old_rows: int) -> np.ndarray:
    """For each new id the old one, -1 for none; out-of-vocabulary ids come last."""
    position = {value: row for row, value in enumerate(old)}
    known = [position.get(value, -1) for value in new]
    return np.array([*known, *range(len(old), old_rows)])

"""The files of a training run, which a later run can start from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import tf_keras as keras

from midpg_tf.models import RankingModel
from pipeline.code_digest import file_digest

KERAS_MODEL = "model.keras"
"""Name of the trained Keras model, in the folder of a training run."""

VOCABULARIES = "vocabularies.json"
"""Name of the vocabularies that the model was trained with, in the same folder."""

EVENTS = "tensorboard"
"""Name of the folder of TensorBoard's events, in the same folder."""


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


def load_run(folder: Path) -> tuple[RankingModel, dict[str, list[str]]]:
    """The model and the vocabularies that `save_run` wrote."""
    model = keras.models.load_model(folder / KERAS_MODEL)
    return model, json.loads((folder / VOCABULARIES).read_text(encoding="utf-8"))


def check_run(folder: Path) -> None:
    """Raises ValueError if a folder isn't that of a training run."""
    for name in (KERAS_MODEL, VOCABULARIES):
        if not (folder / name).exists():
            raise ValueError(
                f"training.warm_start: expected the folder of a training run, with"
                f" {KERAS_MODEL} and {VOCABULARIES}, found no {name} in {folder}"
            )


def run_digest(folder: Path) -> str:
    """Digests what `load_run` reads."""
    return file_digest([folder / KERAS_MODEL, folder / VOCABULARIES], size=16)

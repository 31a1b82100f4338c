"""One training of one model, as the pipeline does it, with its figures."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tf_keras as keras

from midpg_tf.spec import DatasetSpec, ModelSpec, Training
from pipeline.benchmark.contenders import dense_parameters, resolved
from pipeline.benchmark.data import Prepared
from pipeline.benchmark.diagnostics import Diagnostics, diagnose
from pipeline.code_digest import TRAINING_CODE, code_digest
from pipeline.evaluation.figures import Figures, figures
from pipeline.records import Record
from pipeline.trainer import count_parameters, fit

JUDGED = ("eval", "test")
"""The splits that are scored."""

_BATCH = 8192

RESULT_CODE = (
    *TRAINING_CODE,
    "pipeline.benchmark.contenders",
    "pipeline.benchmark.data",
    "pipeline.benchmark.diagnostics",
    "pipeline.evaluation.bootstrap",
    "pipeline.evaluation.figures",
    "pipeline.evaluation.progress",
    "pipeline.evaluation.rows",
    "pipeline.records",
    __name__,
)
"""The code that a result depends on."""


class Result(Record):
    """What a training gave.

    Attributes:
        model: The model and all its settings.
        seed: Of the training, and of a split by hash.
        splits: Figures by split: all rows, then each scenario.
        parameters: Number of trainable parameters.
        dense_parameters: Number of those behind the embeddings.
        examples_per_second: Rows trained on a second, without the evaluation, over all
            epochs but the first; over that one if it is the only one. Where negatives
            are down-sampled, as many as an epoch is expected to draw.
        epochs: Number of epochs until training stopped.
        seconds: From building to scoring.
        diagnostics: What the regulariser did; None for models without one.
    """

    model: dict[str, Any]
    seed: int
    splits: dict[str, list[Figures]]
    parameters: int
    dense_parameters: int
    examples_per_second: float
    epochs: int
    seconds: float
    diagnostics: Diagnostics | None


class Trial(NamedTuple):
    """A finished training.

    Attributes:
        name: What the report calls the model.
        seed: The seed.
        result: What came out.
    """

    name: str
    seed: int
    result: Result


class EpochClock(keras.callbacks.Callback):
    """Times epochs, without their evaluation, and tells about them.

    Args:
        tell: Called with an epoch's figures in words.

    Attributes:
        seconds: Of each epoch.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        # Keras' own mark: don't wait for every step's metrics.
        self._supports_tf_logs = True
        self.tell = tell
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.perf_counter()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self.seconds.append(time.perf_counter() - self.started)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        found = (logs or {})["val_auc"]
        self.tell(f"epoch {epoch + 1}, AUC on eval {found:.4f}")

    def examples_per_second(self, rows: float) -> float:
        """Speed over all epochs but the first, if there are more, of `rows` each."""
        measured = self.seconds[1:] or self.seconds
        return rows * len(measured) / sum(measured)


class Trainings:
    """Trainings on a data set: each is done once, its result kept in a folder.

    Args:
        spec: The description; its training settings are used for all models.
        folder: Where results are kept. One that is there is taken, unless settings,
            data or the code that trains and scores have changed since.
    """

    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        # Once, since files may be edited while this process runs what they were.
        self._code = code_digest(*RESULT_CODE)
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, model: ModelSpec, prepared: Prepared, seed: int) -> Result | None:
        """The result of an earlier training: same settings, data and code."""
        file = self._file(model, prepared, seed)
        if not file.exists():
            return None
        return Result.model_validate_json(file.read_text(encoding="utf-8"))

    def scores(
        self, model: ModelSpec, prepared: Prepared, seed: int, split: str
    ) -> np.ndarray:
        """The scores of a split's rows, `(rows,)` float32, of a finished training."""
        file = self._file(model, prepared, seed).with_suffix(".npz")
        with np.load(file) as stored:
            return np.asarray(stored[split])

    def run(
        self,
        model: ModelSpec,
        prepared: Prepared,
        seed: int,
        tell: Callable[[str], None] = lambda text: None,
    ) -> Result:
        """Trains and scores a model; its result appears whole or not at all.

        Args:
            model: The model.
            prepared: The data.
            seed: Of initialisation, order of rows and dropout.
            tell: Called with the state of the training in words.
        """
        started = time.monotonic()
        file = self._file(model, prepared, seed)
        training = self._training(seed)
        tell("starts")
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        built = self.spec.build_model(model, prepared.vocabularies())
        clock = EpochClock(tell)
        kept = fit(
            built,
            training,
            prepared.dataset(
                "train",
                training.batch_size,
                seed=seed,
                negative_rate=built.negative_rate,
            ),
            prepared.dataset("eval", training.batch_size),
            self.folder / "tensorboard" / file.stem,
            callbacks=[clock],
        )
        scores = {
            split: built.predict(prepared.dataset(split, _BATCH), verbose=0)
            for split in JUDGED
        }
        positives, negatives = (prepared.row_count("train", label) for label in (1, 0))
        drawn = positives + built.negative_rate * negatives
        result = Result(
            model=resolved(self.spec, model),
            seed=seed,
            splits={
                split: figures(prepared.rows(split), scores[split]) for split in JUDGED
            },
            parameters=count_parameters(built),
            dense_parameters=dense_parameters(built),
            examples_per_second=clock.examples_per_second(drawn),
            epochs=len(clock.seconds),
            seconds=time.monotonic() - started,
            diagnostics=diagnose(built, kept, prepared.scenarios("train")),
        )
        part = file.with_suffix(".part.npz")
        np.savez_compressed(part, **scores)
        part.replace(file.with_suffix(".npz"))
        part = file.with_suffix(".part")
        part.write_text(result.model_dump_json(indent=2), encoding="utf-8")
        part.replace(file)
        return result

    def _training(self, seed: int) -> Training:
        return self.spec.training.model_copy(update={"seed": seed, "warm_start": None})

    def _file(self, model: ModelSpec, prepared: Prepared, seed: int) -> Path:
        return self.folder / f"{model.name}-{seed}-{self._digest(model, prepared)}.json"

    def _digest(self, model: ModelSpec, prepared: Prepared) -> str:
        content = {
            "fields": list(Result.model_fields),
            # Scores are kept in the order of the rows that they are of.
            "data": [prepared.root.name, prepared.fingerprint],
            "model": resolved(self.spec, model),
            "training": self._training(seed=0).model_dump(mode="json"),
            "code": self._code,
        }
        text = json.dumps(content, sort_keys=True).encode()
        return hashlib.blake2b(text, digest_size=6).hexdigest()

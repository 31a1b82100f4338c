"""Offline and served scores, compared row by row over gRPC."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from rich.console import Console

from midpg_tf.spec import DatasetSpec
from pipeline.components.infra_validator import TOLERANCE
from pipeline.paths import RunPaths
from pipeline.results import Results
from pipeline.training_run import KERAS_MODEL
from serving.client import Client
from serving.process import ServerProcess
from transform.batches import example_values
from transform.dataset import TransformRaw, transformed_dataset
from transform.preprocessing import raw_feature_spec

_BATCH = 4096

UNKNOWN = "(a value that training never saw)"


class ServedOffline(NamedTuple):
    """The comparison.

    Attributes:
        rows: Test rows that were sent.
        scenarios: Number of scenarios among them.
        difference: Largest difference of a row's served and offline score.
        seconds: For all requests.
        unknown: The served score of a row of an unknown scenario.
    """

    rows: int
    scenarios: int
    difference: float
    seconds: float
    unknown: float


class ServingMismatchError(RuntimeError):
    """Production wouldn't answer what training and evaluation measured."""


def check_serving(
    spec: DatasetSpec, paths: RunPaths, console: Console
) -> ServedOffline:
    """Serves the pushed model, sends every test row, and compares with offline scores.

    Offline is the Keras model, on the examples that Beam transformed; served is the
    pushed model, on rows that a client sends over gRPC. The two share no code but the
    weights and the transformation's graph.

    Args:
        spec: The data-set description.
        paths: The folder of a run that pushed a model.
        console: For progress.

    Raises:
        ServingMismatchError: If a row's scores differ by more than 1e-5, or a row's
            features aren't among the transformed ones.
    """
    results = Results(paths)
    raw = _raw_examples(results)
    rows = [example_values(example, spec.multivalued) for example in raw]
    offline = _offline_scores(spec, results, raw)
    with (
        console.status("starting the server"),
        ServerProcess(model_name=spec.name, model_base_path=paths.serving) as server,
        Client(server.target, spec.name, spec) as client,
    ):
        started = time.monotonic()
        served = client.predict(rows)
        seconds = time.monotonic() - started
        unknown = float(
            client.predict([rows[0] | dict.fromkeys(spec.scenario, UNKNOWN)])[0]
        )
    difference = float(np.abs(served - offline).max())
    scenarios = {tuple(row[field] for field in spec.scenario) for row in rows}
    found = ServedOffline(len(rows), len(scenarios), difference, seconds, unknown)
    if not difference <= TOLERANCE:
        raise ServingMismatchError(
            f"expected served scores within {TOLERANCE:g} of the offline ones, found a"
            f" difference of {difference:g}"
        )
    if not 0 < unknown < 1:
        raise ServingMismatchError(
            f"expected a score between 0 and 1 for an unknown scenario, found {unknown}"
        )
    console.print(
        f"\nserved version {server.version}: {found.rows:,} test rows of"
        f" {found.scenarios} scenarios over gRPC in {found.seconds:.1f} s, at most"
        f" {found.difference:.1g} from the offline scores; unknown scenario:"
        f" {found.unknown:.3f}"
    )
    return found


def _raw_examples(results: Results) -> list[bytes]:
    folder = results.newest("DatasetExampleGen", "examples").uri / "Split-test"
    files = sorted(str(file) for file in folder.iterdir())
    return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


def _offline_scores(
    spec: DatasetSpec, results: Results, raw: Sequence[bytes]
) -> np.ndarray:
    """Scores of the transformed examples, in the order of the raw ones.

    Beam doesn't keep the order, so rows are told by their transformed features.
    """
    output = tft.TFTransformOutput(
        str(results.newest("Transform", "transform_graph").uri)
    )
    examples = results.newest("Transform", "transformed_examples").uri / "Split-test"
    model = keras.models.load_model(
        results.newest("CandidateTrainer", "model_run").uri / KERAS_MODEL
    )
    by_features: dict[tuple[bytes, ...], float] = {}
    for features, *_ in transformed_dataset(
        [str(examples / "*")], output, spec, _BATCH
    ):
        scores = model.predict_on_batch(features)
        by_features.update(zip(_keys(spec, features), scores, strict=True))
    transform = TransformRaw(output)
    parse = raw_feature_spec(spec, with_label=False)
    keys: list[tuple[bytes, ...]] = []
    for start in range(0, len(raw), _BATCH):
        parsed = tf.io.parse_example(raw[start : start + _BATCH], parse)
        keys.extend(_keys(spec, transform(parsed)))
    lost = sum(key not in by_features for key in keys)
    if lost:
        raise ServingMismatchError(
            "expected the served transformation to give what Beam wrote, found"
            f" {lost:,} of {len(keys):,} rows with other features"
        )
    return np.array([by_features[key] for key in keys])


def _keys(
    spec: DatasetSpec, features: Mapping[str, tf.Tensor]
) -> Iterator[tuple[bytes, ...]]:
    columns = [features[name].numpy() for name in spec.features]
    for values in zip(*columns, strict=True):
        yield tuple(
            value[value >= 0].tobytes() if value.ndim else value.tobytes()
            for value in values
        )

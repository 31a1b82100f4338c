"""Rows out of a server's request logs: the examples that clients sent."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from midpg_tf.names import safe_name, scenario_name
from midpg_tf.spec import (
    OVERALL,
    DatasetSpec,
    ExampleEncoder,
    MultivaluedFeature,
    RowError,
)
from serving.errors import ServingError
from serving.methods import serialized_examples
from serving.signatures import EXAMPLES
from serving.tensors import to_array

_INPUTS = ("regress_log", "classify_log", "multi_inference_log")


class LogError(ValueError):
    """There are no rows to compare; the message says where they were looked for."""


class Answered(NamedTuple):
    """What a version of the model has answered.

    Attributes:
        file: TFRecords of the examples, GZIP-compressed.
        rows: Number of examples.
        requests: Effective number of requests with rows of each scenario, and
            `overall`: the rows of one share their context, so that one with most of the
            rows leaves the others little to say.
    """

    file: Path
    rows: int
    requests: dict[str, float]


class Extracted(NamedTuple):
    """What was found in log files.

    Attributes:
        versions: By version, that of the most rows first.
        notes: What was left out, and why.
    """

    versions: dict[int, Answered]
    notes: list[str]


def find_logs(where: str) -> list[Path]:
    """Finds the files of a request log.

    Args:
        where: A file, a pattern of files, or the `filename_prefix` of a server.

    Raises:
        LogError: If there is none.
    """
    if Path(where).is_file():
        return [Path(where)]
    is_pattern = any(character in where for character in "*?[")
    pattern = where if is_pattern else f"{where}-*.tfrecord"
    if files := tf.io.gfile.glob(pattern):
        return sorted(map(Path, files))
    parts = len(tf.io.gfile.glob(f"{pattern}.part"))
    written = (
        f", but {parts} being written; a file is complete when it is large or old"
        " enough, or the server stops"
        if parts
        else ""
    )
    raise LogError(f"{pattern}: expected log files, found none{written}")


def extract(
    files: list[Path],
    spec: DatasetSpec,
    model: str,
    folder: Path,
    progress: Callable[[int], None] = lambda rows: None,
) -> Extracted:
    """Writes the examples of log files to one file for each version that answered.

    Args:
        files: TFRecords of PredictionLog.
        spec: The data-set description.
        model: Name of the model; requests to others are left out.
        folder: Where to.
        progress: Told the number of rows so far.

    Raises:
        LogError: If there are no examples.
    """
    log = _Log(spec, model)
    paths: dict[int, Path] = {}
    writers: dict[int, tf.io.TFRecordWriter] = {}
    with contextlib.ExitStack() as opened:
        for file in files:
            for version, example in log.examples(file):
                if version not in writers:
                    paths[version] = folder / f"{version}.gz"
                    writer = tf.io.TFRecordWriter(str(paths[version]), "GZIP")
                    writers[version] = opened.enter_context(writer)
                writers[version].write(example)
            progress(log.rows.total())
    notes = log.notes()
    if not paths:
        reasons = "".join(f"\n{note}" for note in notes)
        raise LogError(
            f"{len(files)} log files from {files[0]} on: expected requests to the model"
            f" {model}, found none{reasons}"
        )
    versions = {
        version: Answered(paths[version], rows, log.requests(version))
        for version, rows in log.rows.most_common()
        if rows
    }
    return Extracted(versions, notes)


class _Log:
    """Reads files, and keeps account of what is left out."""

    def __init__(self, spec: DatasetSpec, model: str) -> None:
        # By version.
        self.rows: Counter[int] = Counter()
        # By version and scenario: rows, and the sum over requests of their square.
        self._sums: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._squares: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._spec = spec
        self._model = model
        self._encoder = ExampleEncoder(spec)
        self._broken: list[str] = []
        self._models: Counter[str] = Counter()
        self._strange = 0

    def examples(self, file: Path) -> Iterator[tuple[int, bytes]]:
        """A file's examples and who answered, as far as it can be read."""
        for log in self._records(file):
            model = log.log_metadata.model_spec
            if model.name != self._model:
                self._models[model.name] += 1
                continue
            try:
                found = self._rows(log)
                scenarios = self._scenarios(found)
            except (RowError, ServingError, DecodeError, LookupError):
                self._strange += 1
                continue
            version = model.version.value
            self.rows[version] += len(found)
            self._sums[version].update(scenarios)
            self._squares[version].update({k: n**2 for k, n in scenarios.items()})
            for example in found:
                yield version, example

    def requests(self, version: int) -> dict[str, float]:
        """The effective number of requests of each scenario, and `overall`.

        It is the number of requests of equal size whose mean is as certain.

        References:
            Kish, "Survey Sampling", 1965, section 11.7.
        """
        squares = self._squares[version]
        return {k: rows**2 / squares[k] for k, rows in self._sums[version].items()}

    def notes(self) -> list[str]:
        """What was left out."""
        others = [
            f"{count:,} requests to the model {name} were left out"
            for name, count in sorted(self._models.items())
        ]
        if self._strange:
            others.append(
                f"{self._strange:,} requests that aren't of the data-set file's"
                " features were left out"
            )
        return [*self._broken, *others]

    def _records(self, file: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
        count = 0
        try:
            for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
                count += 1
                yield prediction_log_pb2.PredictionLog.FromString(record)
        except tf.errors.OpError as error:
            self._broken.append(
                f"{file}: expected whole records, found {count:,}, and then"
                f" {str(error.message).split(' [')[0].splitlines()[0]}; the rest was"
                " left out"
            )
        except DecodeError:
            self._broken.append(
                f"{file}: expected PredictionLog records, found something else as"
                f" record {count:,}; it and the rest were left out"
            )

    def _rows(self, log: prediction_log_pb2.PredictionLog) -> list[bytes]:
        kind = log.WhichOneof("log_type")
        if kind in _INPUTS:
            return serialized_examples(getattr(log, kind).request.input)
        inputs = log.predict_log.request.inputs
        if EXAMPLES in inputs:
            return list(to_array(EXAMPLES, inputs[EXAMPLES]).ravel())
        return list(self._raw_rows({n: to_array(n, p) for n, p in inputs.items()}))

    def _scenarios(self, examples: list[bytes]) -> Counter[str]:
        """A request's examples by scenario, and `overall`."""
        names: Counter[str] = Counter()
        for example in examples:
            features = tf.train.Example.FromString(example).features.feature
            values = (
                features[field].bytes_list.value[0] for field in self._spec.scenario
            )
            name = scenario_name(value.decode(errors="replace") for value in values)
            names.update({OVERALL, name})
        return names

    def _raw_rows(self, columns: dict[str, np.ndarray]) -> Iterator[bytes]:
        """Rows that were sent as a tensor a feature, by its `safe_name`."""
        sizes = {len(column) for column in columns.values() if column.ndim}
        for index in range(min(sizes, default=0)):
            row: dict[str, Any] = {}
            for name, feature in self._spec.features.items():
                column = columns[safe_name(name)]
                value = column[index] if column.ndim else column
                if isinstance(feature, MultivaluedFeature):
                    value = [part for part in value if part]  # "" is the padding
                elif isinstance(value, np.generic):
                    value = value.item()
                row[name] = value
            yield self._encoder.encode(row).SerializeToString()

"""A data set as models take it: ingested and transformed once a split, then kept."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from midpg_tf.layers import ScenarioIndex, scenario_fields
from midpg_tf.names import scenario_name
from midpg_tf.spec import SPLITS, DatasetSpec, HashSplit
from pipeline.code_digest import DATA_CODE, code_digest, file_digest
from pipeline.evaluation.bootstrap import clusters_of
from pipeline.evaluation.rows import SplitRows
from transform.checks import check_summary
from transform.dataset import transformed_dataset, vocabularies
from transform.ingest import ingest
from transform.preprocessing import preprocessing_fn
from transform.run import write_transformed
from transform.runner import IN_PROCESS
from transform.sources import check_files, files_digest
from transform.summary import read_summary, write_summary

_BATCH = 8192
_FINGERPRINT = "fingerprint"

_CLUSTER = "gates.resample_by"
"""The column with a hash of that feature's value: ids don't tell unseen ones apart."""

_HASHES = 2**63 - 1
"""As many as int64 holds, so that no two values are likely to share one."""


class Prepared(NamedTuple):
    """A folder with transformed examples and the transformations.

    Attributes:
        root: The folder.
        spec: The description of the data.
    """

    root: Path
    spec: DatasetSpec

    @property
    def transform_output(self) -> tft.TFTransformOutput:
        """What TensorFlow Transform wrote."""
        return tft.TFTransformOutput(str(self.root / "graph"))

    def dataset(self, split: str, batch_size: int, **arguments: Any) -> tf.data.Dataset:
        """Batches of a split; the other arguments are of `transformed_dataset`."""
        return transformed_dataset(
            str(self.root / split / "*.gz"),
            self.transform_output,
            self.spec,
            batch_size,
            **arguments,
        )

    def vocabularies(self) -> dict[str, list[str]]:
        """The values of each vocabulary."""
        return vocabularies(self.transform_output, self.spec)

    @property
    def fingerprint(self) -> str:
        """A name for the rows in their order, which Beam leaves to chance."""
        return (self.root / _FINGERPRINT).read_text(encoding="utf-8")

    def row_count(self, split: str, label: int | None = None) -> int:
        """Number of rows of a split; of one label, or of both."""
        return read_summary(str(self.root)).rows(split, label=label)

    def scenarios(self, split: str) -> set[str]:
        """The names of the scenarios that a split has rows of."""
        counts = read_summary(str(self.root)).counts
        return {scenario_name(one.scenario) for one in counts if one.split == split}

    def rows(self, split: str) -> SplitRows:
        """What figures of a split need, in the order of `dataset` without a seed."""
        inputs = self.spec.inputs(self.vocabularies())
        index = ScenarioIndex(scenario_fields(inputs, self.spec.scenario))
        by = self.spec.gates.resample_by
        columns: dict[str, list[np.ndarray]] = {}
        batches = self.dataset(split, _BATCH, extra=[_CLUSTER] if by else [])
        for features, label, *weight in batches:
            found = {
                "labels": label,
                "weights": weight[0] if weight else tf.ones_like(label),
                "scenarios": index(features),
                "clusters": features[_CLUSTER] if by else tf.zeros_like(label),
            }
            for name, values in found.items():
                columns.setdefault(name, []).append(values.numpy())
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        if by:
            known = joined["clusters"]
            joined["clusters"] = clusters_of(known, known == _hash(tf.constant("")))
        else:
            joined["clusters"] = np.arange(len(joined["labels"]))
        joined["scenarios"] = np.array(index.names)[joined["scenarios"]]
        return SplitRows(**joined)


def with_seed(spec: DatasetSpec, seed: int) -> DatasetSpec:
    """The same data, of which a seed draws the split if it is by a hash.

    Args:
        spec: The description.
        seed: The seed. A split by time, column or files stays as it is.
    """
    if not isinstance(spec.data.split, HashSplit):
        return spec
    split = spec.data.split.model_copy(update={"seed": seed})
    data = spec.data.model_copy(update={"split": split})
    return spec.model_copy(update={"data": data})


def digest(spec: DatasetSpec) -> str:
    """A name for the transformed data.

    It is of the description, the files' state, and the code that reads them.
    """
    described = spec.model_dump(
        mode="json", include={"data", "label", "weight", "scenario", "features"}
    )
    by = spec.gates.resample_by
    code = code_digest(*DATA_CODE, __name__)
    content = [described, by, files_digest(spec), code]
    encoded = json.dumps(content, sort_keys=True).encode()
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()


def prepare(spec: DatasetSpec, cache: Path) -> Prepared:
    """Ingests, checks and transforms a data set as the pipeline does, or takes it.

    Args:
        spec: The description.
        cache: Has a folder for each data set; it appears whole or not at all.

    Raises:
        IngestError: If no model should be trained on the data; see `check_summary`.
    """
    prepared = Prepared(cache / digest(spec), spec)
    if not prepared.root.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # A folder of its own, since another benchmark may be preparing the same data.
        with tempfile.TemporaryDirectory(suffix=".part", dir=cache) as folder:
            part = Path(folder) / "data"
            part.mkdir()
            _transform(spec, part)
            check_summary(spec, read_summary(str(part)))
            shutil.rmtree(part / "temp")
            (part / _FINGERPRINT).write_text(_fingerprint(part), encoding="utf-8")
            try:
                part.replace(prepared.root)
            except OSError:
                if not prepared.root.exists():
                    raise
    return prepared


def _fingerprint(folder: Path) -> str:
    splits = (sorted((folder / split).iterdir()) for split in SPLITS)
    return file_digest(itertools.chain.from_iterable(splits), size=8)


def _transform(spec: DatasetSpec, folder: Path) -> None:
    process = functools.partial(_preprocess, spec=spec.to_json())
    files = check_files(spec)
    with beam.Pipeline(runner=IN_PROCESS) as pipeline:
        ingested = ingest(pipeline, spec, files)
        _ = ingested.summary | "Summary" >> beam.Map(write_summary, str(folder))
        write_transformed(ingested.splits, spec, folder, process)


def _preprocess(inputs: Mapping[str, Any], spec: str) -> dict[str, Any]:
    outputs = preprocessing_fn(inputs, {"spec": spec})
    by = DatasetSpec.from_json(spec).gates.resample_by
    if by:
        outputs[_CLUSTER] = _hash(inputs[by])
    return outputs


def _hash(values: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_hash_bucket_fast(values, _HASHES)

"""TFDV's statistics of rows by scenario, with numbers in bins of the training data."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.constants import DEFAULT_SLICE_KEY
from tensorflow_metadata.proto.v0 import statistics_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.public import tfxio

from midpg_tf.names import scenario_name
from midpg_tf.spec import OVERALL, DatasetSpec, MultivaluedFeature, NumericFeature
from transform.preprocessing import raw_feature_spec
from transform.runner import IN_PROCESS

NO_VALUE = b"(none)"
"""Stands for the values of a multivalued feature that has none in a row."""

_MOST_VALUES = 1_000_000
_QUANTILES = statistics_pb2.Histogram.QUANTILES

Statistics = dict[str, statistics_pb2.DatasetFeatureStatistics]
"""By scenario, and `overall`."""

_Slicer = Callable[[pa.RecordBatch], Iterator[tuple[str, pa.RecordBatch]]]


def comparable(path: Path, spec: DatasetSpec) -> tuple[DatasetSpec, list[str]]:
    """Leaves out of a description what training had as something else.

    Args:
        path: TFDV's statistics of the train split.
        spec: The data-set description of now, with other features maybe.

    Returns:
        The description without features that were of another kind, and notes that name
        these, and what training had and the description doesn't.

    Raises:
        ValueError: If a field of the scenario was of another kind.
    """
    (dataset,) = tfdv.load_stats_binary(str(path)).datasets
    trained = {feature.path.step[0]: feature for feature in dataset.features}
    others = {
        name: kind
        for name, feature in spec.features.items()
        if name in trained
        and (kind := _trained_kind(trained[name], feature.kind)) != feature.kind
    }
    changes = ", ".join(
        f"{name} ({kind} then, {spec.features[name].kind} now)"
        for name, kind in others.items()
    )
    if not others.keys().isdisjoint(spec.scenario):
        raise ValueError(
            "scenario: expected fields of the kind that they were of in training, found"
            f" {changes}; compare with the data-set file that the version was trained"
            " with"
        )
    notes = []
    if others:
        notes.append(f"not compared, since training had it as another kind: {changes}")
    gone = trained.keys() - {*spec.features, *spec.targets}
    if gone:
        notes.append(
            "not compared, since the data-set file doesn't name it, and training had"
            f" it: {', '.join(sorted(gone))}"
        )
    rest = {k: v for k, v in spec.features.items() if k not in others}
    return spec.model_copy(update={"features": rest}), notes


def _trained_kind(found: statistics_pb2.FeatureNameStatistics, now: str) -> str:
    """The kind of a feature in training; that of now, if it may have been that."""
    common = getattr(found, found.WhichOneof("stats")).common_stats
    if found.type != statistics_pb2.FeatureNameStatistics.STRING:
        return "numeric"
    if common.min_num_values != 1 or common.max_num_values != 1:
        return "multivalued"
    # One value in each row is what both kinds of text may have.
    return "categorical" if now == "numeric" else now


def read_edges(path: Path, spec: DatasetSpec) -> dict[str, np.ndarray]:
    """Reads the edges of the bins that numbers are put in.

    The bins are the deciles of the training data, and all that is below or above it.
    Equal-width bins, TFDV's own choice, put nearly all of a skewed feature into one,
    whose borders a single value decides: two samples of the same rows then seem to
    differ.

    Args:
        path: TFDV's statistics of the train split.
        spec: The data-set description.

    Returns:
        For each numeric feature the lower ends of all bins but the first: float64.
    """
    (dataset,) = tfdv.load_stats_binary(str(path)).datasets
    edges = {}
    for feature in dataset.features:
        name = feature.path.step[0]
        if not isinstance(spec.features.get(name), NumericFeature):
            continue
        (histogram,) = (h for h in feature.num_stats.histograms if h.type == _QUANTILES)
        size = len(histogram.buckets) // 10  # buckets a decile
        ends = histogram.buckets[size - 1 : -1 : size]
        inner = [bucket.high_value for bucket in ends]
        # Values are float32; the largest one of training is in the last decile.
        above = np.nextafter(np.float32(feature.num_stats.max), np.float32(np.inf))
        edges[name] = np.unique([feature.num_stats.min, *inner, above])
    return edges


def statistics(
    pattern: str, spec: DatasetSpec, edges: Mapping[str, np.ndarray]
) -> Statistics:
    """Computes the statistics of rows, overall and by scenario.

    Args:
        pattern: GZIP-compressed TFRecords of raw tf.Examples.
        spec: The data-set description.
        edges: Of the numeric features' bins; their values become the bins' names.
    """
    source = tfxio.TFExampleRecord(
        pattern,
        schema=schema_utils.schema_from_feature_spec(
            raw_feature_spec(spec, with_label=False)
        ),
        telemetry_descriptors=["midpg", "skew"],
    )
    options = tfdv.StatsOptions(
        num_rank_histogram_buckets=_MOST_VALUES,
        experimental_slice_functions=[_by_scenario(spec.scenario)],
    )
    found: Statistics = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "statistics")
        with beam.Pipeline(runner=IN_PROCESS) as pipeline:
            _ = (
                pipeline
                | source.BeamSource()
                | beam.Map(_prepared, spec=spec, edges=dict(edges))
                | tfdv.GenerateStatistics(options)
                | tfdv.WriteStatisticsToBinaryFile(path)
            )
        for dataset in tfdv.load_stats_binary(path).datasets:
            name = dataset.name
            found[OVERALL if name == DEFAULT_SLICE_KEY else name] = dataset
    return found


def bin_names(edges: np.ndarray) -> list[str]:
    """Names the bins between edges, those below and above them included."""
    # NumPy gives a float32 the digits that tell it from all others, and no more. Bins
    # that shared a name would be counted as one.
    texts = [np.format_float_positional(np.float32(x), trim="-") for x in edges]
    inner = [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
    return [f"below {texts[0]}", *inner, f"above {texts[-1]}"]


def _prepared(
    batch: pa.RecordBatch, *, spec: DatasetSpec, edges: Mapping[str, np.ndarray]
) -> pa.RecordBatch:
    """Puts numbers in bins, and a value where a row has none."""
    columns = []
    for name, feature in spec.features.items():
        column = batch.column(batch.schema.get_field_index(name))
        if name in edges or isinstance(feature, MultivaluedFeature):
            values = column.flatten().to_numpy(zero_copy_only=False)
            lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
            if name in edges:
                names = np.array([n.encode() for n in bin_names(edges[name])], object)
                values = names[np.digitize(values, edges[name])]
            else:
                starts = np.cumsum(lengths) - lengths
                values = np.insert(values, starts[lengths == 0], NO_VALUE)
                lengths = np.maximum(lengths, 1)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            column = pa.ListArray.from_arrays(
                pa.array(offsets, pa.int32()), pa.array(values, pa.binary())
            )
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, list(spec.features))


def _by_scenario(fields: Sequence[str]) -> _Slicer:
    """Returns what parts a batch; scenarios are named as in the gates' report."""

    def part(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
        columns = [
            batch.column(batch.schema.get_field_index(field)).flatten().to_pylist()
            for field in fields
        ]
        names = pd.Series(
            [
                scenario_name(value.decode(errors="replace") for value in values)
                for values in zip(*columns, strict=True)
            ]
        )
        # A scenario with the name of all rows would take their place.
        own = names[~names.isin([OVERALL, DEFAULT_SLICE_KEY])]
        for name, rows in own.groupby(own).groups.items():
            yield str(name), batch.take(pa.array(rows))

    return part

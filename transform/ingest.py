"""Beam ingestion: from the files of a data-set description to examples in splits."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from apache_beam import pvalue

from midpg_tf.spec import (
    SPLITS,
    DatasetSpec,
    ExampleEncoder,
    FileSplit,
    HashSplit,
    RowError,
    TimeSplit,
)
from transform.batches import Batch
from transform.readers import READERS
from transform.sources import SourceFile, needed_columns
from transform.splits import (
    Assign,
    Boundaries,
    FindBoundaries,
    Moment,
    assigner,
    lacks_key,
    moment,
)
from transform.summary import RowIssue, Summarize, Summary, Tally


@dataclasses.dataclass(frozen=True)
class Ingested:
    """What an ingestion gives, once its Beam pipeline has run.

    Attributes:
        splits: Serialized tf.Examples by split: `train`, `eval` and `test`.
        summary: One `Summary`. Rows in error are in it, and not in the splits; pass
            it to `check_summary` after the run.
    """

    splits: dict[str, beam.PCollection[bytes]]
    summary: beam.PCollection


def ingest(
    pipeline: beam.Pipeline, spec: DatasetSpec, files: Sequence[SourceFile]
) -> Ingested:
    """Adds the ingestion of a data set to a Beam pipeline.

    Files and row groups are read in parallel, and the encoding of their rows is spread
    over the workers again: a single big CSV file also keeps all of them busy.

    Args:
        pipeline: The pipeline.
        spec: The description of the data set.
        files: Those that `check_files` has found to be in order, before there was a
            pipeline: one that never runs leaves a temporary folder behind.
    """
    reader = READERS[spec.data.format]
    columns = needed_columns(spec)
    batches = (
        pipeline
        | "Files" >> beam.Create([(file.path, file.split) for file in files])
        | "Chunks" >> beam.FlatMapTuple(reader.chunks)
        | "SpreadChunks" >> beam.Reshuffle()
        | "Read" >> beam.FlatMap(reader.read, columns)
        | "SpreadBatches" >> beam.Reshuffle()
    )
    boundaries = None
    if isinstance(spec.data.split, TimeSplit):
        found = (
            batches
            | "Moments" >> beam.Map(_moments, spec.data.split.column)
            | "Boundaries" >> beam.CombineGlobally(FindBoundaries(spec.data.split))
        )
        boundaries = pvalue.AsSingleton(found)
    outputs = batches | "Encode" >> beam.ParDo(_Encode(spec), boundaries).with_outputs(
        *SPLITS, main="tallies"
    )
    summary = outputs.tallies | "Summarize" >> beam.CombineGlobally(
        Summarize(spec.scenario)
    )
    if boundaries is not None:
        summary |= "TestStart" >> beam.Map(_with_test_start, boundaries)
    return Ingested({split: outputs[split] for split in SPLITS}, summary)


def _moments(batch: Batch, column: str) -> list[Moment]:
    """The moments of a batch; rows without one are reported when they are encoded."""
    if isinstance(batch.data, pa.RecordBatch):
        batch = dataclasses.replace(batch, data=batch.data.select([column]))
    moments = []
    for _, row in batch.rows(multivalued=()):
        if not isinstance(row, RowIssue):
            try:
                moments.append(moment(column, row.get(column)))
            except RowError:
                continue
    return moments


def _with_test_start(summary: Summary, boundaries: Boundaries | None) -> Summary:
    start = Moment(boundaries.is_date, boundaries.test) if boundaries else None
    return summary.model_copy(update={"test_start": start})


class _Encode(beam.DoFn):
    """Encodes batches and splits them; the main output has a tally a batch."""

    def __init__(self, spec: DatasetSpec) -> None:
        self._spec = spec
        self._multivalued = spec.multivalued

    def setup(self) -> None:
        self._encoder = ExampleEncoder(self._spec)

    def process(
        self, batch: Batch, boundaries: Boundaries | None
    ) -> Iterator[Tally | pvalue.TaggedOutput]:
        chunk = batch.chunk
        assign = self._assigner(chunk.split, boundaries)
        tally = Tally()
        seen: Counter[bytes] = Counter()
        tally.add_file(chunk.path, len(batch.numbers))
        for issue in batch.issues:
            tally.add_issue(issue)
        for number, row in batch.rows(self._multivalued):
            if isinstance(row, RowIssue):
                tally.add_issue(row)
                continue
            try:
                example = self._encoder.encode(row, with_label=True)
                record = example.SerializeToString(deterministic=True)
                label = int(self._target(example, self._spec.label.name))
                is_weightless = self._is_weightless(example)
                split = assign(row, self._key(example, seen))
                scenario = self._encoder.scenario(row)
            except RowError as error:
                tally.add_issue(RowIssue.of(chunk.path, number, error))
                continue
            tally.counts[split, scenario, label] += 1
            tally.weightless[split, scenario, label] += is_weightless
            tally.unkeyed += lacks_key(self._spec.data.split, row)
            tally.add_record(split, record)
            yield pvalue.TaggedOutput(split, record)
        yield tally

    def _assigner(self, split: str | None, boundaries: Boundaries | None) -> Assign:
        if isinstance(self._spec.data.split, FileSplit):
            return lambda row, example: str(split)
        return assigner(self._spec.data.split, boundaries)

    def _is_weightless(self, example: tf.train.Example) -> bool:
        weight = self._spec.weight
        return weight is not None and self._target(example, weight) == 0

    def _target(self, example: tf.train.Example, name: str) -> float:
        return float(example.features.feature[name].float_list.value[0])

    def _key(self, example: tf.train.Example, seen: Counter[bytes]) -> bytes:
        """What a split by hash knows a row by; takes the label out of the example.

        With the label in it, rows with the same features and another label would go
        another way, all of them: a model would be tested on the opposite of what it
        was trained on. Rows with the same features are told apart by their order.
        """
        if not isinstance(self._spec.data.split, HashSplit):
            return b""
        for name in self._spec.targets:
            del example.features.feature[name]
        key = example.SerializeToString(deterministic=True)
        seen[key] += 1
        return key if seen[key] == 1 else key + b"#%d" % seen[key]

"""TensorFlow Transform without TFX, for benchmarks, over examples of all splits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_bsl.public import tfxio

from midpg_tf.spec import DatasetSpec
from transform.preprocessing import preprocessing_fn, raw_feature_spec

_SHARDS = 4


def write_transformed(
    examples: Mapping[str, beam.PCollection[bytes]],
    spec: DatasetSpec,
    folder: Path,
    preprocess: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
) -> None:
    """Adds to a pipeline what transforms examples and writes them.

    Args:
        examples: Serialized tf.Examples with label, by split. What is learnt from data,
            such as vocabularies, is learnt from `train`.
        spec: The description.
        folder: Gets the transformations as `graph`, the transformed examples as
            GZIP-compressed TFRecords, a folder a split, and `temp`, which isn't needed
            once the pipeline has run.
        preprocess: From raw features to transformed ones. Default: `preprocessing_fn`.
    """
    source = tfxio.TFExampleBeamRecord(
        physical_format="memory",
        telemetry_descriptors=[],
        schema=schema_utils.schema_from_feature_spec(
            raw_feature_spec(spec, with_label=True)
        ),
    )
    config = source.TensorAdapterConfig()
    process = preprocess or functools.partial(
        preprocessing_fn, custom_config={"spec": spec.to_json()}
    )
    with tft_beam.Context(temp_dir=str(folder / "temp")):
        batches = {
            split: rows | f"Batch{split}" >> source.BeamSource()
            for split, rows in examples.items()
        }
        transform_fn = (batches["train"], config) | tft_beam.AnalyzeDataset(process)
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
        for split, rows in batches.items():
            transform = tft_beam.TransformDataset(output_record_batches=True)
            data = ((rows, config), transform_fn)
            transformed, metadata = data | f"Transform{split}" >> transform
            _ = (
                transformed
                | f"Encode{split}"
                >> beam.FlatMap(
                    _encode, beam.pvalue.AsSingleton(metadata.deferred_metadata)
                )
                | f"Write{split}"
                >> beam.io.WriteToTFRecord(
                    str(folder / split / "rows"),
                    file_name_suffix=".gz",
                    num_shards=_SHARDS,
                )
            )


def _encode(batch: tuple[pa.RecordBatch, Any], metadata: Any) -> Iterator[bytes]:
    yield from RecordBatchToExamplesEncoder(metadata.schema).encode(batch[0])

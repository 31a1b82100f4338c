"""ExampleGen for the files of a data-set description, with its checks of the rows."""

from __future__ import annotations

import logging
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from google.protobuf import any_pb2, struct_pb2
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.types.artifact import Artifact
from tfx.utils import proto_utils

from midpg_tf.spec import SPLITS, DatasetSpec, FileSplit
from transform.checks import check_summary, describe_splits, uneven_splits
from transform.ingest import ingest
from transform.sources import check_files, files_digest
from transform.summary import read_summary, write_summary

log = logging.getLogger("midpg.data")


class DatasetExampleGenExecutor(BaseExampleGenExecutor):
    """Ingests the rows, then refuses data that no model should be trained on."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802
        raise NotImplementedError("GenerateExamplesByBeam is overridden")

    def GenerateExamplesByBeam(  # noqa: N802
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        ingested = ingest(pipeline, _spec(exec_properties), self._files)
        _ = ingested.summary | "WriteSummary" >> beam.Map(write_summary, self._folder)
        return ingested.splits

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        examples = output_dict[standard_component_specs.EXAMPLES_KEY]
        self._folder = artifact_utils.get_single_uri(examples)
        spec = _spec(exec_properties)
        self._files = check_files(spec)
        super().Do(input_dict, output_dict, exec_properties)
        summary = read_summary(self._folder)
        check_summary(spec, summary)
        for line in describe_splits(summary):
            log.info("%s", line)
        for line in uneven_splits(spec, summary):
            log.warning("%s", line)


class DatasetExampleGen(FileBasedExampleGen):
    """Reads CSV, Parquet or TFRecord files into the splits train, eval and test.

    Args:
        spec: The data-set description. The component runs anew when the files, or the
            parts of the description that matter to it, change.
    """

    EXECUTOR_SPEC = BeamExecutorSpec(DatasetExampleGenExecutor)

    def __init__(self, spec: DatasetSpec) -> None:
        packed = any_pb2.Any()
        content = struct_pb2.Struct()
        content.update({"spec": spec.to_json(), "files": _state(spec)})
        packed.Pack(content)
        super().__init__(
            input_base=_base(spec),
            input_config=_inputs(spec),
            output_config=_outputs(spec),
            custom_config=example_gen_pb2.CustomConfig(custom_config=packed),
        )


def _state(spec: DatasetSpec) -> str:
    """A digest of the files' names, sizes and times; empty if they can't be seen here.

    The driver's own fingerprint misses files below `**`, which Beam finds.
    """
    try:
        return files_digest(spec)
    except (ValueError, OSError):
        # The run tells what is wrong; it may be on a machine that sees them.
        return ""


def _base(spec: DatasetSpec) -> str:
    if isinstance(spec.data.split, FileSplit):
        return spec.data.path
    return FileSystems.split(spec.data.path)[0]


def _inputs(spec: DatasetSpec) -> example_gen_pb2.Input:
    """What the driver takes the fingerprint of."""
    split = spec.data.split
    if isinstance(split, FileSplit):
        patterns = {name: getattr(split, name) for name in SPLITS}
    else:
        patterns = {"rows": FileSystems.split(spec.data.path)[1]}
    return example_gen_pb2.Input(
        splits=[
            example_gen_pb2.Input.Split(name=name, pattern=pattern)
            for name, pattern in patterns.items()
        ]
    )


def _outputs(spec: DatasetSpec) -> example_gen_pb2.Output | None:
    if isinstance(spec.data.split, FileSplit):
        return None  # the inputs' names
    splits = [
        example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=1) for name in SPLITS
    ]
    return example_gen_pb2.Output(
        split_config=example_gen_pb2.SplitConfig(splits=splits)
    )


def _spec(exec_properties: dict[str, Any]) -> DatasetSpec:
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(
        exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], config
    )
    content = struct_pb2.Struct()
    config.custom_config.Unpack(content)
    return DatasetSpec.from_json(content["spec"])

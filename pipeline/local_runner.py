"""Runs the pipeline on this machine; the file for the tfx command's --pipeline-path.

The environment variable MIDPG_SPEC names the data-set file, MIDPG_ROOT where its runs
keep their files (default: the folder .midpg beside the data-set file). The tfx command
itself needs TF_USE_LEGACY_KERAS=1: it has TensorFlow loaded before this file.
"""

from __future__ import annotations

import os
from pathlib import Path

# Run as a file, this is no module of the package, which selects Keras 2.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from apache_beam.options.pipeline_options import StandardOptions
from tfx import v1 as tfx

from midpg_tf.spec import DatasetSpec, SpecError
from pipeline.create_pipeline import create_pipeline
from pipeline.paths import RunPaths, home
from pipeline.run_lock import only_run
from transform.runner import IN_PROCESS

SPEC_VARIABLE = "MIDPG_SPEC"


def local_pipeline(
    spec: DatasetSpec,
    paths: RunPaths,
    *,
    enable_cache: bool = True,
    models_file: Path | None = None,
    model_name: str | None = None,
) -> tfx.dsl.Pipeline:
    """The pipeline with all its files in a local folder.

    Args:
        spec: The data-set description.
        paths: The folder.
        enable_cache: Whether a component whose inputs haven't changed is skipped.
        models_file: The server's model configuration file. Default: that in the folder.
        model_name: Name of the model in it. Default: the data set's.
    """
    return create_pipeline(
        spec,
        pipeline_root=str(paths.artifacts),
        serving_dir=str(paths.serving),
        schema_dir=str(paths.schema),
        models_file=str(models_file or paths.models_config),
        rolled_back=str(paths.rolled_back),
        model_name=model_name,
        metadata_connection_config=(
            tfx.orchestration.metadata.sqlite_metadata_connection_config(
                str(paths.metadata)
            )
        ),
        enable_cache=enable_cache,
    )


def run_locally(pipeline: tfx.dsl.Pipeline) -> None:
    """Runs a pipeline, Beam's part of it in this process."""
    # TFX's components take Beam's default. Given --runner, each would first make a
    # source distribution of TFX, for workers elsewhere.
    StandardOptions.DEFAULT_RUNNER = IN_PROCESS
    tfx.orchestration.LocalDagRunner().run(pipeline)


def main() -> None:
    """What the tfx command runs, without arguments.

    Raises:
        SpecError: If the environment names no data-set file, or one that can't be used.
        RuntimeError: If another run is at work in its folder, or that is another
            data-set file's.
    """
    name = os.environ.get(SPEC_VARIABLE)
    if not name:
        raise SpecError(
            f"{SPEC_VARIABLE}: expected the data-set file in the environment, found"
            f" nothing; call: export {SPEC_VARIABLE}=$PWD/shop.yaml"
        )
    file = Path(name)
    spec = DatasetSpec.load(file)
    paths = RunPaths(home(file) / spec.name, file)
    with only_run(paths):
        run_locally(local_pipeline(spec, paths))


if __name__ == "__main__":
    main()

"""Runs the pipeline on this machine; the file for the tfx command's --pipeline-path.

The environment variable MIDPG_SPEC names the data-set file (default: the example
movielens-100k of the repository), MIDPG_ROOT where its runs keep their files (default:
the folder .midpg beside the data-set file).
"""

from __future__ import annotations

import os
from pathlib import Path

from tfx import v1 as tfx

from midpg_tf.spec import DatasetSpec
from pipeline.create_pipeline import create_pipeline
from pipeline.paths import RunPaths, home
from pipeline.run_lock import only_run

SPEC_VARIABLE = "MIDPG_SPEC"
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "movielens-100k.yaml"


def local_pipeline(
    spec: DatasetSpec, paths: RunPaths, *, enable_cache: bool = True
) -> tfx.dsl.Pipeline:
    """The pipeline with all its files in a local folder.

    Args:
        spec: The data-set description.
        paths: The folder.
        enable_cache: Whether a component whose inputs haven't changed is skipped.
    """
    return create_pipeline(
        spec,
        pipeline_root=str(paths.artifacts),
        serving_dir=str(paths.serving),
        schema_dir=str(paths.schema),
        models_file=str(paths.models_config),
        metadata_connection_config=(
            tfx.orchestration.metadata.sqlite_metadata_connection_config(
                str(paths.metadata)
            )
        ),
        enable_cache=enable_cache,
    )


def main() -> None:
    """What the tfx command runs, without arguments."""
    file = Path(os.environ.get(SPEC_VARIABLE) or EXAMPLE)
    spec = DatasetSpec.load(file)
    paths = RunPaths(home(file) / spec.name)
    with only_run(paths):
        tfx.orchestration.LocalDagRunner().run(local_pipeline(spec, paths))


if __name__ == "__main__":
    main()

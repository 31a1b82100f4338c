"""Pusher of whole versions, and of none that is already in production."""

from __future__ import annotations

import filecmp
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any

from tfx.components.evaluator import constants
from tfx.components.pusher import component, executor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.types.artifact import Artifact
from tfx.types.channel import BaseChannel
from tfx.utils import json_utils, proto_utils

from serving.versions import find_versions

log = logging.getLogger("midpg.pusher")

PUSHED_KEY = "pushed"
"""The stock executor's note on its output: whether it pushed."""

VERSION_KEY = "pushed_version"
"""Its note on the version, text."""

DESTINATION_KEY = "pushed_destination"
"""Its note on the version's folder."""

MODEL_ID_KEY = "model_id"
"""Our own note: which `Model` was pushed."""

SPLIT_KEY = "split"
"""Our own note: the `split_basis` of the description that it was trained by."""

STAGING = ".pushing"
"""Folder beside the versions, in which a version is copied; no server looks there."""


class NewModelPusherExecutor(executor.Executor):
    """Skips a model that is in production, or is the newest version: one of the cache.

    After a rollback, the newest version isn't in production, but a twin of it would be
    no news. A version appears all at once, so that a push that is cut off leaves none.
    """

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        destination = pusher_pb2.PushDestination()
        key = standard_component_specs.PUSH_DESTINATION_KEY
        proto_utils.json_to_proto(exec_properties[key], destination)
        base = Path(destination.filesystem.base_directory)
        staging = base / STAGING
        # What a push that was killed has left.
        shutil.rmtree(staging, ignore_errors=True)
        blessing, pushed = (
            artifact_utils.get_single_instance(artifacts)
            for artifacts in (
                input_dict[standard_component_specs.MODEL_BLESSING_KEY],
                output_dict[standard_component_specs.PUSHED_MODEL_KEY],
            )
        )
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
        elif twin := _twin(Path(self.GetModelPath(input_dict)), base):
            log.info("the candidate is version %s; nothing to push", twin.name)
            # It may be one whose push was cut off before this was noted.
            self._MarkPushed(pushed, str(twin), twin.name)
        else:
            destination.filesystem.base_directory = str(staging)
            super().Do(
                input_dict,
                output_dict,
                exec_properties | {key: proto_utils.proto_to_json(destination)},
            )
            version = pushed.get_string_custom_property(VERSION_KEY)
            folder = (staging / version).rename(base / version)
            staging.rmdir()
            pushed.set_string_custom_property(DESTINATION_KEY, str(folder))
        config = exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY]
        pushed.set_string_custom_property(SPLIT_KEY, json_utils.loads(config)["split"])
        pushed.set_int_custom_property(
            MODEL_ID_KEY,
            blessing.get_int_custom_property(
                constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
            ),
        )

    def CheckBlessing(  # noqa: N802
        self, input_dict: dict[str, list[Artifact]]
    ) -> bool:
        blessing = artifact_utils.get_single_instance(
            input_dict[standard_component_specs.MODEL_BLESSING_KEY]
        )
        candidate, production = (
            blessing.get_int_custom_property(key)
            for key in (
                constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
                constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY,
            )
        )
        if candidate == production:
            log.info("the candidate is the model in production; nothing to push")
            return False
        if not super().CheckBlessing(input_dict):
            log.error("not pushed")
            return False
        return True


def _twin(model: Path, base: Path) -> Path | None:
    """The folder of the newest version, if it has the model's files."""
    versions = find_versions(base).versions
    if not versions:
        return None
    newest = Path(versions[max(versions)])
    return newest if _same_files(model, newest) else None


def _same_files(first: Path, second: Path) -> bool:
    return all(
        (second / file.relative_to(first)).is_file()
        and filecmp.cmp(file, second / file.relative_to(first), shallow=False)
        for file in first.rglob("*")
        if file.is_file()
    )


class NewModelPusher(component.Pusher):
    """`tfx.components.Pusher`, for models that aren't in production yet.

    Args:
        model_blessing: The gates' verdict.
        infra_blessing: Whether the model can be served, with the model.
        push_destination: The folder of versions.
        split: The `split_basis` of the description.
    """

    EXECUTOR_SPEC = ExecutorClassSpec(NewModelPusherExecutor)

    def __init__(
        self,
        model_blessing: BaseChannel,
        infra_blessing: BaseChannel,
        push_destination: pusher_pb2.PushDestination,
        split: str,
    ) -> None:
        super().__init__(
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=push_destination,
            # The cache would take a push for done whose version has been removed since.
            custom_config={"never_cached": uuid.uuid4().hex, "split": split},
        )

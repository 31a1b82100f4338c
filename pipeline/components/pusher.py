"""Pusher of whole versions, and of none that is known already."""

from __future__ import annotations

import hashlib
import json
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

from pipeline.rollbacks import TRAINING_DIGEST_FILE, model_digest, rolled_back_as
from serving.versions import find_versions

log = logging.getLogger("midpg.pusher")

PUSHED_KEY = "pushed"
"""The stock executor's note on its output: whether it pushed."""

VERSION_KEY = "pushed_version"
"""Its note on the version, text."""

MODEL_ID_KEY = "model_id"
"""Our own note: which `Model` was pushed."""

BASIS_KEY = "basis"
"""Our own note, taken over from the blessing: the model's `Basis` as JSON."""

ROWS_KEY = "rows"
"""Our own note on the blessing: digests of the rows that the model was trained on."""

NOTE_KEY = "note"
"""Our own note: why a model that passed wasn't pushed, for who ran it; maybe empty."""

STAGING = ".pushing"
"""Folder beside the versions, in which a version is copied; no server looks there."""


class NewModelPusherExecutor(executor.Executor):
    """Pushes a model that passed, unless there is nothing new in it.

    It isn't pushed if it is the model in production, if it has the files of the newest
    version, or those of one that was rolled back, or if it was trained anew on the rows
    of such a one, by the same settings and code.

    A version appears all at once, so that a push that is cut off leaves none. Its
    number is the time, or else the next one: servers take the highest.
    """

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        base = Path(_destination(exec_properties).filesystem.base_directory)
        config = json_utils.loads(
            exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY]
        )
        # What a push that was killed has left.
        shutil.rmtree(base / STAGING, ignore_errors=True)
        blessing, pushed = (
            artifact_utils.get_single_instance(artifacts)
            for artifacts in (
                input_dict[standard_component_specs.MODEL_BLESSING_KEY],
                output_dict[standard_component_specs.PUSHED_MODEL_KEY],
            )
        )
        blessed = self.CheckBlessing(input_dict)
        # An infrastructure gate that refuses a model passes none on.
        model = Path(self.GetModelPath(input_dict)) if blessed else None
        rows = blessing.get_string_custom_property(ROWS_KEY)
        training_digest = _digest(rows, config["recipe_digest"])
        note = ""
        if model is None:
            self._MarkNotPushed(pushed)
        elif note := _rolled_back(
            model, training_digest, base, Path(config["rolled_back"])
        ):
            log.warning("%s", note)
            self._MarkNotPushed(pushed)
        elif twin := _twin(model, base):
            log.info("the candidate is version %s; nothing to push", twin.name)
            # It may be one whose push was cut off before this was noted.
            self._MarkPushed(pushed, str(twin), twin.name)
        else:
            self._push(input_dict, output_dict, exec_properties, training_digest)
        pushed.set_string_custom_property(NOTE_KEY, note)
        pushed.set_string_custom_property(
            BASIS_KEY, blessing.get_string_custom_property(BASIS_KEY)
        )
        pushed.set_int_custom_property(
            MODEL_ID_KEY,
            blessing.get_int_custom_property(
                constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
            ),
        )

    def _push(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
        training_digest: str,
    ) -> None:
        """Copies the model where no server looks, and then lets it appear."""
        destination = _destination(exec_properties)
        base = Path(destination.filesystem.base_directory)
        staging = base / STAGING
        destination.filesystem.base_directory = str(staging)
        staged = {
            standard_component_specs.PUSH_DESTINATION_KEY: proto_utils.proto_to_json(
                destination
            )
        }
        super().Do(input_dict, output_dict, exec_properties | staged)
        pushed = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.PUSHED_MODEL_KEY]
        )
        staged_version = pushed.get_string_custom_property(VERSION_KEY)
        newest = max(find_versions(base).versions, default=0)
        version = str(_free(base, max(int(staged_version), newest + 1)))
        folder = staging / staged_version
        noted = folder / TRAINING_DIGEST_FILE
        noted.parent.mkdir(exist_ok=True)
        noted.write_text(training_digest)
        folder = folder.rename(base / version)
        staging.rmdir()
        self._MarkPushed(pushed, str(folder), version)

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


def _destination(exec_properties: dict[str, Any]) -> pusher_pb2.PushDestination:
    message = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(
        exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], message
    )
    return message


def _free(base: Path, number: int) -> int:
    """The number, or the next one that isn't half a version's."""
    while (base / str(number)).exists():
        number += 1
    return number


def _twin(model: Path, base: Path) -> Path | None:
    """The folder of the newest version, if it has the model's files."""
    versions = find_versions(base).versions
    if not versions:
        return None
    newest = Path(versions[max(versions)])
    return newest if model_digest(model) == model_digest(newest) else None


def _digest(*parts: str) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _rolled_back(model: Path, training_digest: str, base: Path, noted: Path) -> str:
    """What to say of a model that was rolled back; empty if it wasn't."""
    version = rolled_back_as(noted, model_digest(model), training_digest)
    if version is None:
        return ""
    anyway = (
        f"midpg promote SPEC.yaml {version}"
        if int(version) in find_versions(base).versions
        else f"its folder is gone, so take its line out of {noted}"
    )
    return (
        "not pushed: expected a candidate that wasn't rolled back, found version"
        f" {version}, which was; train on other rows or settings, or, if you want it"
        f" all the same: {anyway}"
    )


class NewModelPusher(component.Pusher):
    """`tfx.components.Pusher`, for models that aren't in production yet.

    Args:
        model_blessing: The gates' verdict.
        infra_blessing: Whether the model can be served, with the model.
        push_destination: The folder of versions.
        rolled_back: The file of the versions that were rolled back; it may be missing.
        recipe_digest: Of the settings and the code that the model is trained by.
    """

    EXECUTOR_SPEC = ExecutorClassSpec(NewModelPusherExecutor)

    def __init__(
        self,
        model_blessing: BaseChannel,
        infra_blessing: BaseChannel,
        push_destination: pusher_pb2.PushDestination,
        rolled_back: str,
        recipe_digest: str,
    ) -> None:
        super().__init__(
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=push_destination,
            # The cache would take a push for done whose version has been removed since.
            custom_config={
                "never_cached": uuid.uuid4().hex,
                "rolled_back": rolled_back,
                "recipe_digest": recipe_digest,
            },
        )

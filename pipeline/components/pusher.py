"""Pusher that doesn't push again what is already in production."""

from __future__ import annotations

import logging
from typing import Any

from tfx.components.evaluator import constants
from tfx.components.pusher import component, executor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import artifact_utils, standard_component_specs
from tfx.types.artifact import Artifact

log = logging.getLogger("midpg.pusher")

PUSHED_KEY = "pushed"
"""The stock executor's note on its output: whether it pushed."""

MODEL_ID_KEY = "model_id"
"""Our own note: which `Model` was pushed."""


class NewModelPusherExecutor(executor.Executor):
    """Skips a model that was compared with itself: a run from the cache."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        super().Do(input_dict, output_dict, exec_properties)
        blessing, pushed = (
            artifact_utils.get_single_instance(artifacts)
            for artifacts in (
                input_dict[standard_component_specs.MODEL_BLESSING_KEY],
                output_dict[standard_component_specs.PUSHED_MODEL_KEY],
            )
        )
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


class NewModelPusher(component.Pusher):
    """`tfx.components.Pusher`, for models that aren't in production yet."""

    EXECUTOR_SPEC = ExecutorClassSpec(NewModelPusherExecutor)

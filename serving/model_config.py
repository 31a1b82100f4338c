"""The models that a server is told to serve, checked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from serving.errors import invalid
from serving.policies import All, Latest, Specific, VersionPolicy

PLATFORM = "tensorflow"

#: The one type of log collector that there is; empty means the same.
COLLECTOR = "tfrecord"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """Which requests to a model are written, and where.

    Attributes:
        prefix: Start of the files' paths.
        sampling_rate: Share of the requests, drawn at random, from 0 to 1.
    """

    prefix: str
    sampling_rate: float


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One model.

    Attributes:
        name: Name by which requests ask for it.
        base_path: Directory whose integer sub-folders are the versions.
        policy: Which of them to serve.
        labels: Version of each label, such as `stable`.
        log: Which requests are written to files, `None` for none.
    """

    name: str
    base_path: str
    policy: VersionPolicy = dataclasses.field(default_factory=Latest)
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    log: LogConfig | None = None


def parse_models(
    config: model_server_config_pb2.ModelServerConfig,
) -> dict[str, ModelConfig]:
    """Checks a configuration.

    Args:
        config: As in `--model_config_file` or a HandleReloadConfigRequest.

    Returns:
        The models by name; none for a configuration that is empty.

    Raises:
        ServingError: INVALID_ARGUMENT, for what TensorFlow Serving refuses too: a name
            twice or missing, another platform, a base path that is not absolute, a
            custom configuration, another collector of logs.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("custom_model_config is not supported; use model_config_list")
    models: dict[str, ModelConfig] = {}
    for entry in config.model_config_list.config:
        if not entry.name:
            raise invalid("Illegal to list a model without a name in config list")
        if entry.name in models:
            raise invalid(
                f"Illegal to list model {entry.name} multiple times in config list"
            )
        _check_platform(entry)
        if not (Path(entry.base_path).is_absolute() or _URI.match(entry.base_path)):
            raise invalid(
                f"Expected model {entry.name} to have an absolute path or URI; got"
                f" base_path()={entry.base_path}"
            )
        models[entry.name] = ModelConfig(
            entry.name,
            entry.base_path,
            _policy(entry),
            dict(entry.version_labels),
            _log(entry),
        )
    return models


def _check_platform(entry: model_server_config_pb2.ModelConfig) -> None:
    platform = entry.model_platform
    # The deprecated field has one value that it may have: TENSORFLOW.
    if entry.model_type == model_server_config_pb2.TENSORFLOW and not platform:
        platform = PLATFORM
    if not platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor"
            f" ModelServerConfig::model_platform, of model {entry.name}."
        )
    if platform != PLATFORM:
        raise invalid(f"Model {entry.name} requests unsupported platform {platform}")


def _policy(entry: model_server_config_pb2.ModelConfig) -> VersionPolicy:
    policy = entry.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            return All()
        case "specific":
            if not policy.specific.versions:
                raise invalid(
                    f"Model {entry.name}: the policy specific needs at least one"
                    " version"
                )
            return Specific(frozenset(policy.specific.versions))
        case _:
            return Latest(max(policy.latest.num_versions, 1))


def _log(entry: model_server_config_pb2.ModelConfig) -> LogConfig | None:
    if not entry.HasField("logging_config"):
        return None
    collector = entry.logging_config.log_collector_config
    rate = entry.logging_config.sampling_config.sampling_rate
    where = f"Model {entry.name}: logging_config"
    if collector.type not in ("", COLLECTOR):
        raise invalid(
            f"{where}: expected log_collector_config.type {COLLECTOR}, found"
            f" {collector.type}"
        )
    if not collector.filename_prefix:
        raise invalid(
            f"{where}: expected log_collector_config.filename_prefix, found none"
        )
    if _URI.match(collector.filename_prefix):
        raise invalid(
            f"{where}: expected a local path as log_collector_config.filename_prefix,"
            f" found {collector.filename_prefix}"
        )
    if not 0 <= rate <= 1:
        raise invalid(
            f"{where}: expected sampling_config.sampling_rate from 0 to 1, found"
            f" {rate:g}"
        )
    return LogConfig(collector.filename_prefix, rate)

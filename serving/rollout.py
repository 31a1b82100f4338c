"""Moves labels between the versions of a model: promote, and roll back."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

import grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.control import ServerControl
from serving.errors import ServingError
from serving.model_config_file import ModelConfigFile
from serving.status import State
from serving.versions import find_versions

#: The label of the version that answers, and of the one that did before.
STABLE, PREVIOUS = "stable", "previous"

# Seconds after a reload in which a version may still bear the error of an old load.
_STALE = 2.0
_PAUSE = 0.1


class RolloutError(RuntimeError):
    """A label was not moved; the message says why, and what is in force."""


@dataclasses.dataclass(frozen=True)
class Move:
    """What a promotion or a rollback did.

    Attributes:
        label: The label.
        before: The version that had it, `None` for none.
        after: The version that has it now.
        labels: All labels of the model now.
        notes: What the person should know.
    """

    label: str
    before: int | None
    after: int
    labels: Mapping[str, int]
    notes: tuple[str, ...] = ()


def stable_version(file: ModelConfigFile, model: str) -> int | None:
    """Returns the version that is stable, `None` if none is, or there is no file.

    Args:
        file: The server's model configuration file.
        model: Name of the model in it.

    Raises:
        ServingError: The file can't be read, or is illegal.
    """
    if not file.path.exists():
        return None
    for entry in file.read().model_config_list.config:
        if entry.name == model:
            return entry.version_labels.get(STABLE)
    return None


class Rollout:
    """Changes the labels of a model in a running server, and in its file.

    A reload replaces the whole configuration of a server, and no call reads that back,
    so the file is the truth. It always is what the server accepted last: it is written
    after each reload that the server took, and is as before when one was refused.
    Nothing is locked while a version loads, so that a rollback needn't wait for it: a
    promotion ends, and changes nothing more, when the model's entry is no longer as it
    left it. The rest of the file is others', and may change.

    Labelled versions are loaded, and no others: the policy becomes `specific`. A
    version is loaded before it gets a label, while the labels stay where they are.

    Args:
        file: The server's model configuration file.
        model: Name of the model in it.
        control: The server.
        load_timeout: Seconds that a version may take to load.
    """

    def __init__(
        self,
        file: ModelConfigFile,
        model: str,
        control: ServerControl,
        *,
        load_timeout: float = 300.0,
    ) -> None:
        self.file = file
        self.model = model
        self.control = control
        self.load_timeout = load_timeout

    def labels(self) -> dict[str, int]:
        """Returns the version of each label, as the file has it.

        Raises:
            RolloutError: The file has no such model.
            ServingError: The file can't be read, or is illegal.
        """
        return dict(self._entry(self.file.read()).version_labels)

    def promote(self, version: int, label: str = STABLE) -> Move:
        """Gives a label to a version.

        The version that was stable becomes `previous`, for `rollback`, if it serves;
        else the one that is `previous` stays so. Further labels that it had, such as
        that of a canary that was rolled back, go along: whoever asks for them gets what
        is stable, as before. Other labels leave nothing behind, and are for a model
        that has a stable version.

        Args:
            version: The version.
            label: The label, but for `previous`.

        Raises:
            RolloutError: No version is stable yet and another label is asked for, the
                version isn't there or doesn't load, or the server refused; all is as
                before. Or the file was changed meanwhile; then that is in force.
            OSError: The file can't be written so that all who read it still can.
            ServingError: The file can't be read, or no server answers.
        """
        _check_label(label)
        config = self.file.read()
        entry = self._entry(config)
        if label != STABLE and STABLE not in entry.version_labels:
            # It would be unloaded, with no label to keep it.
            raise RolloutError(
                f"{self.file.path}: expected the label {STABLE} of model {self.model}"
                f" before {label}, found {_listed(entry.version_labels)}; promote the"
                f" version in production first, to {STABLE}"
            )
        found = find_versions(entry.base_path).versions
        # The server may have a file system of its own; then only it can tell.
        if Path(entry.base_path).is_dir() and version not in found:
            known = ", ".join(map(str, sorted(found))) or "none"
            raise RolloutError(
                f"{entry.base_path}: expected version {version}, found {known}"
            )
        available = self._available()
        current = dict(entry.version_labels)
        labels, notes = _promoted(current, label, version, available)
        notes += self._apply(config, labels, version, available)
        return Move(label, current.get(label), version, labels, tuple(notes))

    def rollback(self, label: str = STABLE) -> Move:
        """Takes a label from the version that has it, which is unloaded.

        `stable` goes back to the version that was it before the last promotion; any
        other label goes to the version that is stable, so that clients who ask for it
        are still answered. So does each further label of the version that is left,
        such as that of a canary.

        Args:
            label: The label, but for `previous`.

        Raises:
            RolloutError: There is no version to go back to, it doesn't load, or the
                server refused; all is as before. Or the file was changed meanwhile.
            OSError: The file can't be written so that all who read it still can.
            ServingError: The file can't be read, or no server answers.
        """
        _check_label(label)
        config = self.file.read()
        current = dict(self._entry(config).version_labels)
        goal = PREVIOUS if label == STABLE else STABLE
        if goal not in current:
            raise RolloutError(
                f"{self.file.path}: expected the label {goal} of model"
                f" {self.model}, found {_listed(current)}; name a version to promote"
            )
        if label not in {STABLE, *current}:
            raise RolloutError(
                f"{self.file.path}: expected the label {label} of model {self.model},"
                f" found {_listed(current)}"
            )
        before, after = current.get(label), current[goal]
        if label != STABLE and before == after:
            raise RolloutError(
                f"label {label} of model {self.model}: version {after} is {STABLE},"
                f" too; roll back {STABLE}"
            )
        labels, notes = _rolled_back(current, label, after)
        notes += self._apply(config, labels, after, self._available())
        return Move(label, before, after, labels, tuple(notes))

    def _entry(
        self, config: model_server_config_pb2.ModelServerConfig
    ) -> model_server_config_pb2.ModelConfig:
        entries = {entry.name: entry for entry in config.model_config_list.config}
        if self.model not in entries:
            raise RolloutError(
                f"{self.file.path}: expected the model {self.model}, found"
                f" {', '.join(entries) or 'none'}; add it to the file"
            )
        return entries[self.model]

    def _available(self) -> set[int]:
        states = self.control.states(self.model)
        return {v for v, s in states.items() if s.state is State.AVAILABLE}

    def _apply(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        labels: Mapping[str, int],
        version: int,
        available: set[int],
    ) -> list[str]:
        """Loads the version if need be and moves the labels, or leaves all as it is."""
        original, entry = self.file.text(), self._entry(config)
        current = entry
        try:
            # One that was rolled back a moment ago serves until it is unloaded.
            if version not in available or not _stays(entry, version):
                current = self._start_load(entry, version, available)
                self._wait_until_available(version, current)
            self._replace(current, _changed(entry, set(labels.values()), labels))
        except BaseException as error:
            # Whatever the server took of it is taken back, unless others changed it.
            with self.file.lock():
                found = self.file.read()
                if self._entry(found) == current:
                    self._entry(found).CopyFrom(entry)
                    with contextlib.suppress(ServingError):
                        self.control.reload(found)
                    if found == config and self.file.text() != original:
                        self.file.replace_text(original)
                    elif found != config and current != entry:
                        self.file.write(found)
            if isinstance(error, ServingError):
                raise self._unmoved(error.message) from error
            raise
        notes = []
        if not entry.model_version_policy.HasField("specific"):
            notes.append(
                "the policy is specific now: a new version is loaded when it is"
                " promoted, not when it is pushed"
            )
        newest = max(labels.values())
        if labels.get(STABLE, newest) != newest:
            notes.append(
                "requests that name no label go to the newest version that is loaded,"
                f" {newest}; let clients ask for {STABLE}"
            )
        return notes

    def _start_load(
        self,
        entry: model_server_config_pb2.ModelConfig,
        version: int,
        available: set[int],
    ) -> model_server_config_pb2.ModelConfig:
        """Adds the version to those loaded; returns the entry that is in force."""
        labels = entry.version_labels
        # A labelled version that crashed comes back meanwhile.
        versions = available | set(labels.values()) | {version}
        loading = _changed(entry, versions, labels)
        try:
            self._replace(entry, loading)
        except ServingError as error:
            if error.code is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            # The server takes no label of a version that doesn't serve.
            serving = {label: n for label, n in labels.items() if n in available}
            loading = _changed(entry, versions, serving)
            self._replace(entry, loading)
        return loading

    def _replace(
        self,
        current: model_server_config_pb2.ModelConfig,
        entry: model_server_config_pb2.ModelConfig,
    ) -> None:
        """Puts the model's entry in the place of the current one."""
        with self.file.lock():
            config = self._read(current)
            self._entry(config).CopyFrom(entry)
            # TensorFlow Serving applies a polled file at each look, also unchanged.
            with self.file.replacing(config):
                self.control.reload(config)

    def _read(
        self, current: model_server_config_pb2.ModelConfig
    ) -> model_server_config_pb2.ModelServerConfig:
        """Returns the file's content, in which the model's entry is the current one."""
        config = self.file.read()
        entry = self._entry(config)
        if entry != current:
            raise RolloutError(
                f"{self.file.path}: it was changed meanwhile, by another promotion or"
                f" rollback or by hand, and is left so; model {self.model} has"
                f" {_listed(entry.version_labels)}"
            )
        return config

    def _wait_until_available(
        self, version: int, current: model_server_config_pb2.ModelConfig
    ) -> None:
        started = time.monotonic()
        while True:
            status = self.control.states(self.model).get(version)
            self._read(current)
            if status is not None and status.state is State.AVAILABLE:
                return
            seconds = time.monotonic() - started
            if status is not None and status.error is not None and seconds > _STALE:
                raise self._unmoved(
                    f"version {version} does not load: {status.error.message}"
                )
            if seconds > self.load_timeout:
                state = "isn't known to the server" if status is None else "still loads"
                raise self._unmoved(
                    f"version {version} {state} after {self.load_timeout:g} s"
                )
            time.sleep(_PAUSE)

    def _unmoved(self, problem: str) -> RolloutError:
        return RolloutError(
            f"the labels of model {self.model} are as before: {problem}"
        )


def _promoted(
    current: Mapping[str, int], label: str, version: int, available: set[int]
) -> tuple[dict[str, int], list[str]]:
    """All labels after a promotion, and what the person should know of it."""
    before = current.get(label)
    labels, notes = {**current, label: version}, []
    if label == STABLE and before not in (None, version):
        previous = labels.pop(PREVIOUS, None)
        good = before if before in available else previous
        if good in available and good != version:
            labels[PREVIOUS] = good
        if good != before:
            back = f"version {good}" if PREVIOUS in labels else "nothing"
            notes.append(
                f"version {before}, which was {STABLE}, doesn't serve: there is"
                f" {back} to roll back to"
            )
        for other, theirs in labels.items():
            if theirs == before and other != PREVIOUS:
                labels[other] = version
                notes.append(f"label {other} had version {before}, too; now {version}")
    return labels, notes


def _rolled_back(
    current: Mapping[str, int], label: str, after: int
) -> tuple[dict[str, int], list[str]]:
    """All labels after a rollback to a version, and what the person should know."""
    before = current.get(label)
    labels, notes = {**current, label: after}, []
    if label == STABLE:
        del labels[PREVIOUS]
    for other, version in labels.items():
        if other in {label, PREVIOUS}:
            continue
        if version == before != after:
            labels[other] = after
            notes.append(f"label {other} had version {before}, too; now {after}")
        elif label == STABLE and version != after:
            notes.append(
                f"label {other} stays at version {version}; if that is bad, roll"
                f" {other} back, too"
            )
    return labels, notes


def _check_label(label: str) -> None:
    if label == PREVIOUS:
        raise RolloutError(
            f"label {PREVIOUS}: it is for the version that was {STABLE} before, and"
            f" moves with {STABLE}; choose another"
        )


def _stays(entry: model_server_config_pb2.ModelConfig, version: int) -> bool:
    """Whether the policy doesn't have a version unloaded that serves."""
    policy = entry.model_version_policy
    return not policy.HasField("specific") or version in policy.specific.versions


def _changed(
    entry: model_server_config_pb2.ModelConfig,
    versions: set[int],
    labels: Mapping[str, int],
) -> model_server_config_pb2.ModelConfig:
    changed = model_server_config_pb2.ModelConfig()
    changed.CopyFrom(entry)
    changed.model_version_policy.specific.versions[:] = sorted(versions)
    changed.version_labels.clear()
    changed.version_labels.update(labels)
    return changed


def _listed(labels: Mapping[str, int]) -> str:
    found = ", ".join(f"{label}={version}" for label, version in sorted(labels.items()))
    return found or "no label"

"""Applies the model configuration file again when it changes."""

from __future__ import annotations

import logging
import threading

import grpc

from serving.embedded.registry import ModelRegistry
from serving.errors import ServingError
from serving.model_config import ModelConfig, parse_models
from serving.model_config_file import ModelConfigFile

_log = logging.getLogger(__name__)

_RELOAD_SECONDS = 60.0


def read_models(path: str) -> dict[str, ModelConfig]:
    """Reads a `--model_config_file`.

    Args:
        path: A file with a ModelServerConfig as text.

    Returns:
        The models by name.

    Raises:
        ServingError: The file can't be read, or is illegal.
    """
    return parse_models(ModelConfigFile(path).read())


class ConfigWatcher:
    """Looks at a configuration file again and again.

    What can't be read or is illegal is logged and not applied. A configuration that was
    refused is tried at each look: a label waits that way for its version.

    Args:
        path: The file.
        models: What it configures.
        applied: The configuration that is in force.
        poll_wait_seconds: Seconds from one look to the next.
    """

    def __init__(
        self,
        path: str,
        models: ModelRegistry,
        applied: dict[str, ModelConfig],
        poll_wait_seconds: float,
    ) -> None:
        self._path = path
        self._models = models
        self._applied = applied
        self._seconds = poll_wait_seconds
        self._said = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="model-config", daemon=True
        )

    def start(self) -> None:
        """Starts to look, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the looking; a configuration that is being applied is not waited for."""
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self._look()
            except ServingError as error:
                self._say(error.message, applied=error.code is grpc.StatusCode.UNKNOWN)
            except Exception as error:
                self._say(f"{type(error).__name__}: {error}")

    def _look(self) -> None:
        configs = read_models(self._path)
        # Nothing to load leaves everything as it is, as in TensorFlow Serving.
        if configs and configs != self._applied:
            # Nobody knows what is in force after one that failed in part.
            self._applied = {}
            # A model that takes longer is loaded all the same.
            self._models.reload(configs, timeout=_RELOAD_SECONDS)
            self._applied = configs
            _log.info("applied %s", self._path)
        self._said = ""

    def _say(self, problem: str, *, applied: bool = False) -> None:
        if problem == self._said:
            return
        self._said = problem
        if applied:
            _log.error("%s was applied, but: %s", self._path, problem)
        else:
            _log.error(
                "the configuration in force goes on; %s was not applied: %s",
                self._path,
                problem,
            )

"""States of a model's versions, as GetModelStatus tells them."""

from __future__ import annotations

import dataclasses
import enum

from serving.errors import ServingError


class State(enum.IntEnum):
    """State of a version; the numbers are those of `ModelVersionStatus.State`."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of one version at one moment.

    Attributes:
        version: Number of the version.
        state: Its state.
        error: Why its load failed, `None` if it did not.
    """

    version: int
    state: State
    error: ServingError | None

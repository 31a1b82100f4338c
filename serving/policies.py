"""Which of the versions on disk a model serves."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Protocol


class VersionPolicy(Protocol):
    """Chooses versions."""

    def choose(self, found: Collection[int], failing: Collection[int]) -> set[int]:
        """Returns the versions to serve.

        Args:
            found: The versions on disk.
            failing: Those of them whose load failed, or that crashed.
        """


@dataclasses.dataclass(frozen=True)
class Latest:
    """The newest versions.

    For a version that fails, the next older one stands in until it loads.

    Args:
        number: How many.
    """

    number: int = 1

    def choose(self, found: Collection[int], failing: Collection[int]) -> set[int]:
        chosen: set[int] = set()
        for version in sorted(found, reverse=True):
            chosen.add(version)
            if len(chosen.difference(failing)) == self.number:
                break
        return chosen


@dataclasses.dataclass(frozen=True)
class All:
    """Every version."""

    def choose(self, found: Collection[int], failing: Collection[int]) -> set[int]:
        return set(found)


@dataclasses.dataclass(frozen=True)
class Specific:
    """The versions of a list, as far as they are there.

    Args:
        versions: Their numbers.
    """

    versions: frozenset[int]

    def choose(self, found: Collection[int], failing: Collection[int]) -> set[int]:
        return set(self.versions.intersection(found))

"""What a load found: latencies to their percentiles, errors, and the rate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

PERCENTILES = {"p50_ms": 500, "p95_ms": 950, "p99_ms": 990, "p999_ms": 999}
"""By name in a record: parts in a thousand, which are exact as integers."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the requests of a load.

    Attributes:
        latencies: Seconds of each request that was answered.
        errors: Number of the others.
        seconds: From the first request to the last answer.
        first_error: The first error's message, empty if there is none.
    """

    latencies: Sequence[float]
    errors: int
    seconds: float
    first_error: str = ""

    @property
    def answers_per_second(self) -> float:
        """Requests that were answered, by time."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


def join(outcomes: Iterable[Outcome]) -> Outcome:
    """Takes loads that ran one after the other as one."""
    parts = list(outcomes)
    return Outcome(
        [latency for part in parts for latency in part.latencies],
        sum(part.errors for part in parts),
        sum(part.seconds for part in parts),
        next((part.first_error for part in parts if part.first_error), ""),
    )


def percentiles(latencies: Sequence[float]) -> dict[str, float | None]:
    """Exact percentiles in ms: the smallest latency that so many don't exceed.

    Nothing is rounded or put into bins, and nothing lies between two measured values.

    Args:
        latencies: In seconds.

    Returns:
        By the names of `PERCENTILES`; None without latencies.
    """
    if not latencies:
        return dict.fromkeys(PERCENTILES)
    ascending, count = sorted(latencies), len(latencies)
    return {
        name: 1000 * ascending[math.ceil(Fraction(part * count, 1000)) - 1]
        for name, part in PERCENTILES.items()
    }

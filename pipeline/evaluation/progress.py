"""A word now and then from what may take minutes."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("midpg.gates")

_SILENCE = 10.0
"""Seconds after which the next one says how far it is."""


class Progress:
    """Logs how much is done, at most every 10 seconds.

    Args:
        what: What is counted.
        total: How many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._told = time.monotonic()

    def add(self, done: int = 1) -> None:
        """Counts some as done."""
        self._done += done
        now = time.monotonic()
        if now - self._told > _SILENCE and self._done < self._total:
            self._told = now
            log.info("%s: %d of %d", self._what, self._done, self._total)

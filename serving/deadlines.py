"""When something must have ended."""

from __future__ import annotations

import time


class Deadline:
    """A moment in the future, or none.

    Args:
        seconds: Seconds from now; `None` for no limit.

    Attributes:
        seconds: The same.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Returns the seconds until then, 0 if it has passed; `None` for no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return self.left() == 0

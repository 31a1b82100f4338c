"""What figures of a split need of its rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class SplitRows(NamedTuple):
    """Rows of a split.

    Attributes:
        labels: `(rows,)` float32, 0 or 1.
        weights: `(rows,)` float32; ones if the description names no weight.
        scenarios: `(rows,)`, their names.
        clusters: int64 `(rows,)`: one for each value of `gates.resample_by`, and for
            each row without a value; or the rows' numbers. Rows of one are resampled
            together.
    """

    labels: np.ndarray
    weights: np.ndarray
    scenarios: np.ndarray
    clusters: np.ndarray

    def where(self, rows: np.ndarray) -> SplitRows:
        """Some rows.

        Args:
            rows: Bool `(rows,)`, true for those, or their numbers.
        """
        return SplitRows(*(column[rows] for column in self))

    def by_scenario(self) -> dict[str, np.ndarray]:
        """The numbers of each scenario's rows, rising, by its name, sorted."""
        names, scenario = np.unique(self.scenarios, return_inverse=True)
        ends = np.cumsum(np.bincount(scenario, minlength=len(names)))
        parts = np.split(np.argsort(scenario, kind="stable"), ends[:-1])
        return dict(zip(map(str, names), parts, strict=True))

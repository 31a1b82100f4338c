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

    def where(self, mask: np.ndarray) -> SplitRows:
        """The rows at which a bool `(rows,)` is true."""
        return SplitRows(*(column[mask] for column in self))

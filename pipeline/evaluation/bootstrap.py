"""Bootstrap intervals of figures, of several models on the same rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal, TypeVar

import numpy as np
from scipy import stats

from pipeline.evaluation.figures import Array, WeightedFigure
from pipeline.evaluation.progress import Progress
from pipeline.records import Record

Verdict = Literal["gains", "loses", "cannot tell", "too few"]

Name = TypeVar("Name", bound=Hashable)

_CHUNK = 2_000_000
"""Entries of a chunk of resamples: bounds memory to some 100 MB."""


class Interval(Record):
    """A figure and the interval that a bootstrap gives it.

    Attributes:
        value: On the rows themselves; NaN where it isn't defined.
        low: Lower end; NaN where no resample defines the figure.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def widened(self, factor: float) -> Interval:
        """The interval with each end a factor, from 1 on, as far from the value."""
        # A skewed bootstrap may leave out the value itself: no end moves inwards.
        below, above = max(0.0, self.value - self.low), max(0.0, self.high - self.value)
        return Interval(
            value=self.value,
            low=self.low - (factor - 1) * below,
            high=self.high + (factor - 1) * above,
        )


def verdict(gain: Interval, *, enough: bool) -> Verdict:
    """What the interval of a gain says.

    Args:
        gain: The gain.
        enough: Whether the rows are; otherwise they are `too few` to say anything:
            seeds may agree on what is chance, and so may resamples.
    """
    if not enough:
        return "too few"
    if gain.low > 0:
        return "gains"
    return "loses" if gain.high < 0 else "cannot tell"


def widening(confidence: float, observations: float, comparisons: int = 1) -> float:
    """How much wider several intervals must be to have the confidence of one together.

    With `k` intervals each needs the confidence `1 - (1 - confidence) / k`. So many
    resamples that its quantiles are known would take long; those of a distribution
    give the factor. A bootstrap takes the variance of its observations for known, like
    the normal distribution. As for a mean, Student's quantile with `observations - 1`
    degrees of freedom replaces that one's, which matters most far from the middle.

    Args:
        confidence: Of a single interval, for example 0.95.
        observations: Effective number of observations; NaN is returned for 1 and less.
        comparisons: `k`, from 1 on.

    References:
        Bonferroni's inequality: Dunn, "Multiple Comparisons Among Means", Journal of
        the American Statistical Association 56, 1961. Few observations: Hesterberg,
        "What Teachers Should Know about the Bootstrap", The American Statistician 69,
        2015.
    """
    all_upper = 1 - (1 - confidence) / 2 / comparisons
    upper = (1 + confidence) / 2
    return float(stats.t.ppf(all_upper, observations - 1) / stats.norm.ppf(upper))


def clusters_of(values: Array, missing: Array) -> Array:
    """Clusters for `intervals`, of which some rows' values aren't known.

    Taken for one customer, all guests would be in a resample or not, and whatever a
    model loses on them would be within the interval.

    Args:
        values: `(rows,)`, of any values.
        missing: bool `(rows,)`: which rows have no value. Each is a cluster by itself.

    Returns:
        int64 `(rows,)`.
    """
    _, clusters = np.unique(values, return_inverse=True)
    return np.where(missing, len(clusters) + np.arange(len(clusters)), clusters)


def intervals(
    figures: Mapping[Name, WeightedFigure],
    weights: Array,
    clusters: Array,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    what: str = "resamples measured",
) -> dict[Name, Interval]:
    """Percentile bootstrap of several figures on the same resamples.

    Since all figures see the same resamples, a figure that is a difference of two
    models' gets the interval of the paired difference.

    Args:
        figures: By any name, each from weights `(resamples, rows)` to `(resamples,)`.
        weights: `(rows,)`, the rows' own weights.
        clusters: `(rows,)` of any values: rows with the same one are drawn together.
        confidence: Coverage, for example 0.95.
        resamples: Number of resamples.
        seed: Of the draw.
        what: How to call resamples in the log, where they take long.

    References:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
        Clusters: Davison and Hinkley, "Bootstrap Methods and their Application",
        1997, section 3.8.
    """
    rng = np.random.default_rng(seed)
    _, cluster_of_row = np.unique(clusters, return_inverse=True)
    drawable = int(cluster_of_row.max()) + 1
    # Where each row is drawn by itself, any order is as good, and none takes no time.
    columns: Array | slice
    columns = slice(None) if drawable == len(weights) else cluster_of_row
    drawn: dict[Name, list[Array]] = {name: [] for name in figures}
    left = resamples
    progress = Progress(what, resamples)
    while left:
        size = min(left, max(1, _CHUNK // len(weights)))
        left -= size
        picks = rng.integers(drawable, size=(size, drawable))
        counts = np.stack([np.bincount(row, minlength=drawable) for row in picks])
        resampled = counts[:, columns] * weights
        for name, figure in figures.items():
            drawn[name].append(figure(resampled))
        progress.add(size)
    ends = (1 - confidence) / 2, (1 + confidence) / 2
    result = {}
    for name, figure in figures.items():
        values = np.concatenate(drawn[name])
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, ends) if len(values) else (np.nan, np.nan)
        value = float(figure(weights[np.newaxis].astype(np.float64))[0])
        result[name] = Interval(value=value, low=float(low), high=float(high))
    return result

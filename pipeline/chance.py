"""How far apart two samples of the same rows may be by chance."""

from __future__ import annotations

import math

_DEVIATIONS = 4.0
"""Standard deviations of chance that are allowed for: there are many comparisons."""


def chance(numeric: bool, training_rows: int, rows: float, values: int) -> float:
    """What the distance of two samples of the same rows stays below.

    A share of a sample of `n` rows has a variance of at most `1 / (4 n)`, so that a
    difference of two stays below `4 sqrt((1/n + 1/m) / 4)`, four standard deviations.

    The Jensen-Shannon divergence of two samples in `k` bins is, to second order in
    their difference, `(1/n + 1/m) / (8 ln 2)` times a variable of the chi-squared
    distribution with `d = k - 1` degrees of freedom. That stays below
    `d + 2 sqrt(d x) + 2 x` with a probability of `1 - exp(-x)`, where `x = 8`.

    Args:
        numeric: Whether the distance is the Jensen-Shannon divergence.
        training_rows: `m`.
        rows: `n`. A request counts as one row, as if all of its rows were alike. Of
            requests of unequal size, a share is as uncertain as of their effective
            number.
        values: `k`.

    References:
        Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on
        Information Theory 37, 1991. The second order follows from that of the
        Kullback-Leibler divergence, `sum (p - q)^2 / (2 q)` in nats, from each of the
        two to their mean. The bound: Laurent and Massart, "Adaptive Estimation of a
        Quadratic Functional by Model Selection", Annals of Statistics 28, 2000,
        lemma 1.
    """
    inverse = 1 / training_rows + 1 / rows
    if not numeric:
        return _DEVIATIONS * math.sqrt(inverse / 4)
    freedom, x = values - 1, _DEVIATIONS**2 / 2
    high = freedom + 2 * math.sqrt(freedom * x) + 2 * x
    return high * inverse / (8 * math.log(2))

"""What chance can do, by hand and against draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.chance import chance


def test_chance_by_hand():
    # 4 standard deviations of sqrt(1/4 (1/100 + 1/400)).
    assert chance(False, 400, 100, 9) == pytest.approx(4 * math.sqrt(0.0125 / 4))
    # 2 degrees of freedom, and an exponent of 8: 2 + 2 sqrt(16) + 16.
    expected = 26 * 0.0125 / (8 * math.log(2))
    assert chance(True, 400, 100, 3) == pytest.approx(expected)


@pytest.mark.parametrize("rows", [100, 1000])
@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.1] * 10, [0.9, 0.05, 0.03, 0.02]])
def test_two_samples_of_the_same_stay_below_chance(rows, shares):
    draw = np.random.default_rng(0)
    p = draw.multinomial(5000, shares, 1000) / 5000
    q = draw.multinomial(rows, shares, 1000) / rows
    mean = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(x > 0, x * np.log2(x / mean), 0).sum(1) for x in (p, q)]
    divergence = (parts[0] + parts[1]) / 2
    for numeric, found in ((True, divergence), (False, abs(p - q).max(1))):
        bound = chance(numeric, 5000, rows, len(shares))
        assert found.max() < bound
        # And not because it would let anything pass.
        assert bound < (0.1 if numeric else 0.21)

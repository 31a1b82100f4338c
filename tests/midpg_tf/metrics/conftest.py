from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest


class Rows(NamedTuple):
    """Scored rows of three scenarios: common, rare and no positives at all."""

    label: np.ndarray
    score: np.ndarray
    scenario: np.ndarray
    weight: np.ndarray

    def where(self, mask: np.ndarray) -> Rows:
        return Rows(*(column[mask] for column in self))


@pytest.fixture(scope="session")
def rows() -> Rows:
    rng = np.random.default_rng(11)
    count = 30_000
    scenario = rng.choice(3, count, p=[0.5, 0.4, 0.1])
    # Conversions of about 30 % and 1 %.
    logit = np.array([-1.0, -5.0, -3.0])[scenario] + rng.normal(size=count)
    label = rng.random(count) < 1 / (1 + np.exp(-logit))
    label[scenario == 2] = 0
    # A model that sees half of the truth, and is off by some.
    score = 1 / (1 + np.exp(-(logit + rng.normal(0.2, 1, count))))
    return Rows(
        label.astype(np.float32),
        score.astype(np.float32),
        scenario.astype(np.int64),
        rng.integers(0, 4, count).astype(np.float32),
    )

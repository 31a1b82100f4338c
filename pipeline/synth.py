"""Synthetic rows of many scenarios, whose true probabilities are known."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from midpg_tf.spec import SPLITS
from pipeline.evaluation.figures import Figures, figures
from pipeline.evaluation.rows import SplitRows

TRUTH = "true_probability"
"""The column of the probability that the label is 1, given the other columns."""

_CARDINALITIES = {"user": (40, 2), "item": (30, 2), "hour": (12, 1)}
"""By categorical feature: number of values, and of their hidden traits."""

_NUMBERS = ("price", "distance", "recency")
_TERMS = 6
_LOGIT_DEVIATION = 1.6
_INTERCEPT = -0.5
_RARE = 0.01
_SHARES = (0.8, 0.1, 0.1)


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """How rows are drawn.

    Categorical values have hidden traits, and numeric features are drawn, all of them
    with zero mean and unit variance. `phi` are 6 products of two of these, each of
    another pair, scaled to unit variance. A row x of the scenario s is positive with
    the log odds

        -0.5 + 1.6 * (w . phi(x) + difference * w_s . phi(x)) / sqrt(1 + difference^2)

    `w` of unit length and `w_s` are drawn at random; over scenarios, each counting the
    same, the `w_s` have a mean of zero and a mean squared length of 1. So a model
    without scenarios can learn the first part. Over rows, of which some scenarios have
    more, the log odds have a deviation of 1.4 to 1.9 with the defaults and any seed;
    where few scenarios have most rows, it may be further from 1.6. The best AUC moves
    with `difference`.

    Args:
        scenarios: Number of scenarios, from 2 to 256. Default 16.
        rows: Number of rows. Default 200,000.
        difference: Strength of the scenarios' own parts against the shared one. Default
            1: as strong. With 0 scenarios don't differ.
        skew: Shares of rows are proportional to `rank ** -skew`, except that the
            scenario with the share closest to 1 % has just that. Default 1. With 0 all
            are equally frequent.
        seed: Default 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    scenarios: int = 16
    rows: int = 200_000
    difference: float = 1.0
    skew: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.scenarios <= 256:
            raise ValueError(f"expected 2 to 256 scenarios, found {self.scenarios}")
        if self.rows < 1:
            raise ValueError(f"expected at least one row, found {self.rows}")
        if min(self.difference, self.skew) < 0:
            raise ValueError(
                "expected difference and skew of at least 0, found"
                f" {self.difference:g} and {self.skew:g}"
            )

    def draw(self) -> pd.DataFrame:
        """The rows: features, `clicked`, `split` by 8:1:1, and `TRUTH`."""
        rng = np.random.default_rng(self.seed)
        basis, weights = self._draw_world(rng)
        scenario = rng.choice(self.scenarios, self.rows, p=shares(self))
        # Without this, the first values would be of the frequent scenarios.
        scenario = rng.permutation(self.scenarios)[scenario]
        columns, signals = _draw_features(rng, self.rows)
        phi = np.stack([signals[:, a] * signals[:, b] for a, b in basis], axis=1)
        phi /= phi.std(axis=0)
        logits = _INTERCEPT + _LOGIT_DEVIATION * (phi * weights[scenario]).sum(axis=1)
        probability = 1 / (1 + np.exp(-logits))
        # Two fields, whose combination is the scenario.
        channels = math.ceil(math.sqrt(self.scenarios))
        return pd.DataFrame(
            {
                "channel": _names("channel", scenario % channels),
                "region": _names("region", scenario // channels),
                **columns,
                "clicked": (rng.random(self.rows) < probability).astype(int),
                "split": rng.choice(SPLITS, self.rows, p=_SHARES),
                TRUTH: probability,
            }
        )

    def _draw_world(
        self, rng: np.random.Generator
    ) -> tuple[list[tuple[int, int]], np.ndarray]:
        """The pairs of signals in `phi`, and `(scenarios, terms)` weights of these."""
        signals = sum(traits for _, traits in _CARDINALITIES.values()) + len(_NUMBERS)
        pairs = list(itertools.combinations(range(signals), 2))
        basis = [pairs[i] for i in rng.choice(len(pairs), _TERMS, replace=False)]
        shared = _unit(rng.standard_normal(_TERMS))
        own = rng.standard_normal((self.scenarios, _TERMS))
        own -= own.mean(axis=0)
        own *= math.sqrt(self.scenarios / (own**2).sum())
        scale = math.sqrt(1 + self.difference**2)
        return basis, (shared + self.difference * own) / scale


def shares(synthetic: Synthetic) -> np.ndarray:
    """Each scenario's share of the rows, the most frequent first; they sum up to 1."""
    found = np.arange(1.0, synthetic.scenarios + 1) ** -synthetic.skew
    found /= found.sum()
    if synthetic.skew > 0:
        rare = np.abs(np.log(found / _RARE)).argmin()
        found[rare] = 0
        found *= (1 - _RARE) / found.sum()
        found[rare] = _RARE
    return found


def truth(rows: pd.DataFrame) -> dict[str, list[Figures]]:
    """The best figures that any model can be expected to reach, by split.

    Args:
        rows: Of `Synthetic.draw`.

    Returns:
        The figures of the true probabilities on the split's labels: all rows, then each
        scenario.
    """
    found = {}
    for split in SPLITS:
        part = rows[rows["split"] == split]
        columns = SplitRows(
            labels=part["clicked"].to_numpy(np.float32),
            weights=np.ones(len(part), np.float32),
            scenarios=(part["channel"] + "/" + part["region"]).to_numpy(str),
            clusters=np.arange(len(part)),
        )
        found[split] = figures(columns, part[TRUTH].to_numpy())
    return found


def write(synthetic: Synthetic, folder: Path) -> dict[str, list[Figures]]:
    """Writes `rows.csv`, `truth.json`, and the data-set file `synth.yaml` for both.

    Args:
        synthetic: How rows are drawn.
        folder: Where to; it is made.

    Returns:
        The truth, as in `truth.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = synthetic.draw()
    best = truth(rows)
    rows.to_csv(folder / "rows.csv", index=False)
    text = {
        split: [one.model_dump() for one in slices] for split, slices in best.items()
    }
    (folder / "truth.json").write_text(json.dumps(text, indent=1) + "\n", "utf-8")
    comment = f"# Synthetic rows with known truth: {synthetic}.\n"
    content = yaml.safe_dump(_description(), sort_keys=False)
    (folder / "synth.yaml").write_text(comment + content, "utf-8")
    return best


def read_truth(file: Path) -> dict[str, list[Figures]]:
    """Reads a `truth.json`; see `truth`."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return {
        split: [Figures.model_validate(one) for one in slices]
        for split, slices in content.items()
    }


def _description() -> dict[str, Any]:
    categorical = ["channel", "region", *_CARDINALITIES]
    return {
        "name": "synth",
        "data": {
            "format": "csv",
            "path": "rows.csv",
            "split": {"by": "column", "column": "split"},
        },
        "label": {"name": "clicked"},
        "scenario": ["channel", "region"],
        "features": {name: {"kind": "categorical"} for name in categorical}
        | {name: {"kind": "numeric"} for name in _NUMBERS},
        "model": {
            "name": "midpg",
            "cross_layers": 1,
            "l2": 1e-4,
            "embedding_l2": 1e-3,
        },
        # Each has what is best for it on the eval split of 16 scenarios.
        "baseline": {
            "name": "mlp",
            "cross_layers": 2,
            "embedding_l2": 1e-4,
        },
        "training": {
            "epochs": 20,
            "patience": 20,
            "learning_rate": 2e-3,
            "schedule": "cosine",
        },
    }


def _draw_features(
    rng: np.random.Generator, rows: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The columns, and what they stand for: `(rows, signals)`."""
    columns: dict[str, np.ndarray] = {}
    signals = []
    for name, (values, traits) in _CARDINALITIES.items():
        ids = rng.integers(values, size=rows)
        columns[name] = _names(name, ids)
        hidden = rng.standard_normal((values, traits))
        signals.append(((hidden - hidden.mean(axis=0)) / hidden.std(axis=0))[ids])
    for name in _NUMBERS:
        # As the file has them, so that the truth is exact.
        columns[name] = rng.standard_normal(rows).round(4)
        signals.append(columns[name][:, np.newaxis])
    return columns, np.concatenate(signals, axis=1)


def _names(kind: str, ids: np.ndarray) -> np.ndarray:
    return np.char.add(f"{kind}-", ids.astype(str))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from midpg_tf import DatasetSpec

CONTENT = yaml.safe_load("""
name: shop-2022
data:
  format: csv
  path: rows.csv
  split: {by: time, column: day, eval: 0.2, test: 0.1}
  schema_file: schema.pbtxt
  drift: {categorical: 0.2, numeric: 0.4}
  min_scenario_rows: 50
label: {name: bought, from: {column: amount, greater_than: 0}}
weight: importance
scenario: [country, device]
features:
  country: {kind: categorical, min_count: 3, oov_buckets: 2, embedding: 4}
  device: {kind: categorical}
  tags: {kind: multivalued, separator: ";", embedding: 6}
  age: {kind: numeric, default: 30}
  price: {kind: numeric, transform: bucketize, buckets: 5, embedding: 3}
model: {name: midpg, hidden: [16, 8], rank: 4, dropout: 0.1, l2: 1e-4}
baseline: {name: mlp, dropout: 0.3}
training: {epochs: 2, batch_size: 64, learning_rate: 1e-2, seed: 7}
gates:
  auc: {min: 0.6, min_gain: -0.01}
  per_scenario: {min_rows: 100, max_loss: 0.02}
  calibration: {max_error: 0.3}
  confidence: 0.9
  resamples: 200
""")
"""Names every section; `l2: 1e-4` is text to YAML 1.1."""

DELETED = object()
Change = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Change:
    """Writes the data-set file, with a value changed (or deleted); gives its path."""

    def write(key: str = "", value: Any = DELETED) -> Path:
        content = copy.deepcopy(CONTENT)
        if key:
            *sections, last = key.split(".")
            section = content
            for step in sections:
                section = section[step]
            section.pop(last, None)
            if value is not DELETED:
                section[last] = value
        path = tmp_path / "shop.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def spec(write: Change) -> DatasetSpec:
    return DatasetSpec.load(write())

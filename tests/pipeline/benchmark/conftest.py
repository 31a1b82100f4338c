"""The pipeline's small data set, as a benchmark keeps it."""

from __future__ import annotations

import csv

import pytest

from pipeline.benchmark.data import prepare


@pytest.fixture(scope="session")
def shop_rows(make_rows):
    """240 rows to train, 80 for eval, 80 for test, whose items training hasn't seen."""
    rows = make_rows(400)
    for row in rows[320:]:
        row["item"] = f"new {row['item']}"
    return rows


@pytest.fixture(scope="session")
def prepared_shop(spec, shop_rows, tmp_path_factory):
    root = tmp_path_factory.mktemp("benchmark")
    with (root / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(shop_rows[0]))
        writer.writeheader()
        writer.writerows(shop_rows)
    data = spec.data.model_copy(update={"path": str(root / "rows.csv")})
    return prepare(spec.model_copy(update={"data": data}), root / "cache")

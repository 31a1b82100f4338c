"""The pipeline's small data set, as a benchmark keeps it."""

from __future__ import annotations

import itertools
import shutil

import pytest

from pipeline.benchmark.data import Prepared
from transform.summary import RowCount, Summary, write_summary

SPLITS = {"train": 240, "eval": 80, "test": 80}
SCENARIOS = list(itertools.product(("app", "web"), ("desk", "phone")))


@pytest.fixture(scope="session")
def prepared_shop(prepared, tmp_path_factory):
    """The rows of `prepared`: 240 to train, 80 for eval, 80 for test."""
    root = tmp_path_factory.mktemp("benchmark") / "0123456789abcdef"
    shutil.copytree(prepared.graph, root / "graph")
    for split in SPLITS:
        shutil.copytree(prepared.transformed / f"Split-{split}", root / split)
    # The numbers by scenario and label are made up; none of the tests needs them.
    counts = tuple(
        RowCount(split=split, scenario=scenario, label=0, rows=rows // 4)
        for split, rows in SPLITS.items()
        for scenario in SCENARIOS
    )
    summary = Summary(fields=("channel", "device"), counts=counts, files={"x": 400})
    write_summary(summary, str(root))
    (root / "fingerprint").write_text("of these rows")
    return Prepared(root, prepared.spec)

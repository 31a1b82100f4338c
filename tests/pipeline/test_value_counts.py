from __future__ import annotations

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import (
    generate_statistics_in_memory,
)

from pipeline.value_counts import value_counts


@pytest.mark.parametrize(
    ("most", "item"), [(3, {"a": 3, "b": 2, "c": 1}), (2, {"a": 3, "b": 2})]
)
def test_values_by_feature(most, item):
    columns = {
        "item": [[b"a"], [b"b"], [b"a"], [b"c"], [b"b"], [b"a"]],
        "price": [[1.0]] * 6,
        "tags": [[b"x", b"y"], [], None, [b"x"], [], []],
    }
    batch = pa.RecordBatch.from_arrays(
        [pa.array(column) for column in columns.values()], list(columns)
    )
    options = tfdv.StatsOptions(num_rank_histogram_buckets=most)
    (dataset,) = generate_statistics_in_memory(batch, options).datasets
    assert value_counts(dataset) == {
        "item": (item, most == 3, 6),
        "price": ({}, True, 6),
        "tags": ({"x": 2, "y": 1}, True, 6),
    }

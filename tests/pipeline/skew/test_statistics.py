"""Counts of values by scenario, with numbers in the deciles of the training data."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from tensorflow_data_validation.statistics.stats_impl import (
    generate_statistics_in_memory,
)
from tensorflow_metadata.proto.v0 import statistics_pb2

from midpg_tf.spec import DatasetSpec
from pipeline.components.schema_gen import STATISTICS_OPTIONS
from pipeline.evaluation.scoring import read_rows
from pipeline.skew.statistics import bin_names, comparable, read_edges, statistics


@pytest.mark.parametrize("kind", ["categorical", "multivalued"])
def test_one_text_in_each_row_may_be_of_both_kinds(content, tmp_path, kind):
    content["features"] = {
        "channel": {"kind": "categorical"},
        "device": {"kind": "categorical"},
        "tags": {"kind": kind},
    }
    del content["gates"]["resample_by"]
    spec = DatasetSpec.model_validate(content)
    column = pa.array([[b"x"], [b"y"]], pa.list_(pa.binary()))
    batch = pa.RecordBatch.from_arrays([column], ["tags"])
    (tmp_path / "stats.pb").write_bytes(
        generate_statistics_in_memory(batch, STATISTICS_OPTIONS).SerializeToString()
    )
    assert comparable(tmp_path / "stats.pb", spec) == (spec, [])


@pytest.fixture
def edges_of(spec, tmp_path):
    """The edges of prices, as they come out of StatisticsGen's file."""

    def edges(prices):
        column = pa.array([[price] for price in prices], pa.list_(pa.float32()))
        batch = pa.RecordBatch.from_arrays([column], ["price"])
        (tmp_path / "stats.pb").write_bytes(
            generate_statistics_in_memory(batch, STATISTICS_OPTIONS).SerializeToString()
        )
        return read_edges(tmp_path / "stats.pb", spec)["price"]

    return edges


def test_bins_are_deciles_and_what_is_beyond(edges_of):
    edges = edges_of(np.arange(1000.0))
    # From the smallest value to beyond the largest, a hundred values in each bin.
    assert len(edges) == 11
    assert np.allclose(edges[:-1], np.arange(0, 1000, 100), atol=5)
    assert edges[0] == 0
    assert 999 < edges[-1] < 999.001


def test_bins_of_a_constant_tell_it_from_all_else(edges_of):
    edges = edges_of([2.5] * 50)
    assert list(np.digitize([2.4, 2.5, 2.6], edges)) == [0, 1, 2]
    assert bin_names(edges) == [
        "below 2.5",
        "2.5 to 2.5000002",
        "above 2.5000002",
    ]


def test_a_value_that_most_rows_have_is_one_bin(edges_of):
    edges = edges_of([0.0] * 800 + list(np.linspace(1, 2, 200)))
    bins = np.digitize([0.0, 1.0], edges)
    assert bins[0] != bins[1]
    assert edges[0] == 0.0
    assert len(edges) == len(set(edges)) <= 5


def test_names_of_bins():
    edges = np.array([-1.0, 0.25, np.float32(9.99), 20240104])
    assert bin_names(edges) == [
        "below -1",
        "-1 to 0.25",
        "0.25 to 9.99",
        "9.99 to 20240104",
        "above 20240104",
    ]


@pytest.mark.parametrize(
    "prices", [np.arange(20240101, 20240129, 2.0), 1e6 + np.arange(11), [2.5] * 9]
)
def test_bins_of_numbers_that_are_close_have_names_of_their_own(edges_of, prices):
    edges = edges_of(prices)
    assert len(set(bin_names(edges))) == len(edges) + 1


def counts(dataset: statistics_pb2.DatasetFeatureStatistics):
    return {
        feature.path.step[0]: {
            bucket.label: bucket.sample_count
            for bucket in feature.string_stats.rank_histogram.buckets
        }
        for feature in dataset.features
    }


def test_counts_by_scenario(spec, make_rows, write_examples, tmp_path):
    rows = make_rows(60)
    # More values than TFDV's histograms have by default.
    rows += [row | {"item": f"new{n}"} for n, row in enumerate(make_rows(1500))]
    write_examples(tmp_path / "train", rows[:700], rows[700:])
    edges = {"price": np.array([-1.0, 0.0, 1.0])}

    found = statistics(str(tmp_path / "train" / "*"), spec, edges)

    def name(row):
        return f"{row['channel']}/{row['device']}"

    assert found.keys() == {"overall", *map(name, rows)}
    for scenario, dataset in found.items():
        chosen = [row for row in rows if scenario in ("overall", name(row))]
        assert dataset.num_examples == len(chosen)
        seen = counts(dataset)
        assert seen.keys() == spec.features.keys()
        for feature in ("channel", "device", "item"):
            assert seen[feature] == Counter(row[feature] for row in chosen)
        bins = ("below -1", "-1 to 0", "0 to 1", "above 1")
        assert seen["price"] == Counter(
            bins[sum(row["price"] >= edge for edge in (-1, 0, 1))] for row in chosen
        )
        tags = [tag for row in chosen for tag in row["tags"].split("|") if tag]
        empty = sum(not row["tags"] for row in chosen)
        assert seen["tags"] == Counter(tags) + Counter({"(none)": empty})


@pytest.mark.slow
def test_scenarios_are_named_as_by_the_gates(spec, make_rows, write_examples, tmp_path):
    rows = [*make_rows(20), *(row | {"device": ""} for row in make_rows(20))]
    write_examples(tmp_path / "some", rows)
    pattern = str(tmp_path / "some" / "*")

    found = statistics(pattern, spec, {})

    assert "app/(empty)" in found
    assert found.keys() == {"overall", *read_rows([pattern], spec, None)[0].scenarios}


@pytest.mark.slow
def test_requests_may_have_the_names_of_all_rows_as_scenarios(
    spec, make_rows, write_examples, tmp_path
):
    spec = spec.model_copy(update={"scenario": ("channel",)})
    names = ["overall", "All Examples", "app", "app"]
    rows = [
        row | {"channel": name} for row, name in zip(make_rows(4), names, strict=True)
    ]
    write_examples(tmp_path / "some", rows)

    found = statistics(str(tmp_path / "some" / "*"), spec, {})

    counted = {name: dataset.num_examples for name, dataset in found.items()}
    assert counted == {"overall": 4, "app": 2}


@pytest.mark.slow
def test_a_scenario_that_is_no_utf_8_is_counted(
    spec, make_rows, write_examples, tmp_path
):
    (odd,) = write_examples(tmp_path / "some", make_rows(1))
    example = tf.train.Example.FromString(odd)
    example.features.feature["channel"].bytes_list.value[:] = [b"\xff"]
    with tf.io.TFRecordWriter(str(tmp_path / "odd.gz"), "GZIP") as writer:
        writer.write(example.SerializeToString())

    found = statistics(str(tmp_path / "odd.gz"), spec, {})

    assert found["overall"].num_examples == 1
    assert len(found) == 2
    assert "\ufffd/" in "".join(found)

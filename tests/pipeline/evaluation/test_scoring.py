"""Raw rows of a split, and exported models' scores on them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.evaluation import scoring
from pipeline.evaluation.scoring import failure, read_rows, score

ROWS = [
    {
        "channel": channel,
        "device": "phone",
        "item": item,
        "price": price,
        "tags": "x|y",
        "liked": liked,
        "importance": weight,
    }
    for channel, item, price, liked, weight in (
        ("web", "i1", 0.0, 1, 2.0),
        ("app", "i2", 2.0, 0, 0.5),
        ("größe", "i1", -1.0, 1, 1.0),
    )
]


def test_columns_come_in_the_order_of_the_files(tmp_path, spec, write_examples):
    examples = write_examples(tmp_path / "test", ROWS[:2], ROWS[2:])
    files = [str(tmp_path / "test" / "*")]
    rows, serialized = read_rows(files, spec, cluster_by="item")
    assert serialized == examples
    np.testing.assert_array_equal(rows.labels, [1, 0, 1])
    np.testing.assert_array_equal(rows.weights, [2, 0.5, 1])
    assert rows.scenarios.tolist() == ["web/phone", "app/phone", "größe/phone"]
    assert rows.clusters.tolist() == [0, 1, 0]


def test_rows_without_a_cluster_are_each_their_own(tmp_path, spec, write_examples):
    items = ["", "i1", "", "i1"]
    write_examples(tmp_path / "test", [{**ROWS[0], "item": item} for item in items])
    files = [str(tmp_path / "test" / "*")]
    rows, _ = read_rows(files, spec, cluster_by="item")
    assert rows.clusters[1] == rows.clusters[3]
    assert len(set(rows.clusters)) == 3


def test_an_empty_scenario_field_has_a_name(tmp_path, spec, write_examples):
    write_examples(tmp_path / "test", [{**ROWS[0], "channel": ""}])
    rows, _ = read_rows([str(tmp_path / "test" / "*")], spec, cluster_by=None)
    assert rows.scenarios.tolist() == ["(empty)/phone"]


def test_without_weight_and_clusters_rows_count_alike(tmp_path, spec, write_examples):
    write_examples(tmp_path / "test", ROWS)
    unweighted = spec.model_copy(update={"weight": None})
    rows, _ = read_rows([str(tmp_path / "test" / "*")], unweighted, cluster_by=None)
    np.testing.assert_array_equal(rows.weights, np.ones(3))
    assert rows.clusters.tolist() == [0, 1, 2]


@pytest.mark.parametrize("batch", [1, 2, 4096])
def test_scores_are_in_the_order_of_the_rows(
    tmp_path, write_examples, scorers, monkeypatch, batch
):
    monkeypatch.setattr(scoring, "_BATCH", batch)
    examples = write_examples(tmp_path / "test", ROWS)
    found = score(str(scorers(2.0) / "Format-Serving"), examples)
    expected = 1 / (1 + np.exp([0.0, -4.0, 2.0]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_model_that_cannot_take_the_rows_is_an_error(
    tmp_path, write_examples, scorers
):
    examples = write_examples(tmp_path / "test", ROWS)
    with pytest.raises(tf.errors.InvalidArgumentError, match="age"):
        score(str(scorers(1.0, "age") / "Format-Serving"), examples)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Graph execution error:\n\nDetected at node Parse defined at (most recent"
            " call last):\n<stack traces unavailable>\nFeature: age is required\n\t"
            " [[{{node Parse}}]]",
            "Feature: age is required",
        ),
        ("no such file\nand more", "no such file"),
        ("", "ValueError"),
    ],
)
def test_a_failure_is_told_in_the_line_that_says_what_is_wrong(message, line):
    assert failure(ValueError(message)) == line

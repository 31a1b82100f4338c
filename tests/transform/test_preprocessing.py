from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.spec import ExampleEncoder
from transform.dataset import TransformRaw, transformed_dataset, vocabularies
from transform.preprocessing import (
    preprocessing_fn,
    raw_feature_spec,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("transformed")]


@pytest.fixture(scope="module")
def offline(transformed):
    """The transformed rows, in the order of the literal ones."""
    dataset = transformed_dataset(
        transformed.files,
        transformed.output,
        transformed.spec,
        6,
    )
    features, label, weight = next(iter(dataset))
    columns = {**features, "bought": label, "importance": weight}
    # Ages differ in every row, and rise.
    order = np.argsort(features["age"].numpy())
    return {name: value.numpy()[order] for name, value in columns.items()}


def serve(transformed, rows):
    """What the saved graph makes of requests, which have neither label nor weight."""
    encoder = ExampleEncoder(transformed.spec)
    examples = [encoder.encode(row).SerializeToString() for row in rows]
    feature_spec = raw_feature_spec(transformed.spec, with_label=False)
    transform = TransformRaw(transformed.output)
    features = transform(tf.io.parse_example(examples, feature_spec))
    return {name: value.numpy() for name, value in features.items()}


def test_rare_values_are_not_in_the_vocabulary(transformed):
    found = vocabularies(transformed.output, transformed.spec)
    assert found["city"] == ["a", "b"]  # `c` occurs once
    assert found["tags"] == ["x", "y"]  # `z`, too
    assert found["item id"] == ["7", "8", "07"]


def test_ids_follow_frequency_and_oov_buckets_come_last(offline):
    assert offline["city"].dtype == np.int64
    np.testing.assert_array_equal(offline["city"][:5], [0, 0, 0, 1, 1])
    assert offline["city"][5] in (2, 3)  # `c` is too rare for the vocabulary
    np.testing.assert_array_equal(offline["item id"], [0, 0, 0, 1, 1, 2])


def test_multivalued_ids_are_padded(offline):
    # x occurs 5 times and y 3 times; z only once, so it gets the bucket.
    expected = [
        [0, 1, -1],
        [0, -1, -1],
        [-1, -1, -1],
        [0, 1, 2],
        [1, 0, -1],
        [0, -1, -1],
    ]
    assert offline["tags"].dtype == np.int64
    np.testing.assert_array_equal(offline["tags"], expected)


def test_zscore(offline):
    # Mean 4, variance (9 + 4 + 1 + 0 + 1 + 25) / 6 = 20 / 3.
    expected = np.array([-3, -2, -1, 0, 1, 5]) / math.sqrt(20 / 3)
    assert offline["age"].dtype == np.float32
    np.testing.assert_allclose(offline["age"], expected, rtol=1e-6)


def test_log_is_zscored_and_takes_negative_numbers_for_zero(offline):
    # log(1 + x) is 0, 0, 1, 1, 2, 2: mean 1, variance 2 / 3.
    expected = np.array([-1, -1, 0, 0, 1, 1]) / math.sqrt(2 / 3)
    np.testing.assert_allclose(offline["price"], expected, rtol=1e-5, atol=1e-6)


def test_bucketize_gives_quantiles(offline):
    assert offline["rank"].dtype == np.int64
    np.testing.assert_array_equal(offline["rank"], [0, 0, 0, 1, 1, 1])
    assert set(offline["flat_rank"]) <= set(range(10))


def test_constant_column_is_zero_whatever_is_served(transformed, offline):
    np.testing.assert_array_equal(offline["flat"], np.zeros(6))
    served = serve(transformed, [transformed.rows[0] | {"flat": 1e6}])
    assert served["flat"] == [0]


def test_the_label_passes(offline):
    np.testing.assert_array_equal(offline["bought"], np.float32([0, 1, 0, 1, 0, 1]))


def test_weights_have_no_unit(offline):
    expected = np.array([1, 2, 1, 0.5, 1, 1]) / (6.5 / 6)
    assert offline["importance"].dtype == np.float32
    np.testing.assert_allclose(offline["importance"], expected, rtol=1e-6)


def test_served_graph_agrees_with_offline_without_label(transformed, offline):
    served = serve(transformed, transformed.rows)
    assert set(served) == set(transformed.spec.features)
    for name, values in served.items():
        np.testing.assert_array_equal(values, offline[name], err_msg=name)


def test_transformations_are_exported_with_their_tables(transformed, offline, tmp_path):
    class Served(tf.Module):
        def __init__(self):
            super().__init__()
            self.transform = TransformRaw(transformed.output)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(self, examples):
            feature_spec = raw_feature_spec(transformed.spec, with_label=False)
            return self.transform(tf.io.parse_example(examples, feature_spec))

    tf.saved_model.save(Served(), str(tmp_path))
    encoder = ExampleEncoder(transformed.spec)
    examples = [encoder.encode(row).SerializeToString() for row in transformed.rows]
    served = tf.saved_model.load(str(tmp_path)).serve(tf.constant(examples))
    for name, values in served.items():
        np.testing.assert_array_equal(values, offline[name], err_msg=name)


def test_unknown_values_get_buckets_in_the_served_graph(transformed):
    rows = [
        transformed.rows[0]
        | {"city": city, "item id": "", "tags": "new|x", "rank": 1e9}
        for city in map(str, range(20))
    ]
    served = serve(transformed, rows)
    assert set(served["city"]) == {2, 3}
    assert set(served["item id"]) == {3}
    assert served["tags"].tolist() == [[2, 0]] * 20
    assert set(served["rank"]) == {1}


def test_requests_without_any_value_of_a_multivalued_feature(transformed):
    served = serve(transformed, [transformed.rows[2]])
    assert served["tags"].shape == (1, 0)


def test_raw_feature_spec(transformed):
    features = raw_feature_spec(transformed.spec, with_label=True)
    assert features["city"] == tf.io.FixedLenFeature([], tf.string)
    assert features["tags"] == tf.io.VarLenFeature(tf.string)
    assert features["age"] == tf.io.FixedLenFeature([], tf.float32)
    assert features["bought"] == tf.io.FixedLenFeature([], tf.float32)
    assert set(features) - set(
        raw_feature_spec(transformed.spec, with_label=False)
    ) == {
        "bought",
        "importance",
    }


def test_another_shape_is_refused(transformed):
    inputs = {"city": tf.constant([["a"]])}
    with pytest.raises(ValueError, match=r"'city'.*\(batch,\).*raw_feature_spec"):
        preprocessing_fn(inputs, {"spec": transformed.spec.to_json()})

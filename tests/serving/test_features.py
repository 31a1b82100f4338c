"""Which of a model's features a description lacks."""

import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from midpg_tf.spec import DatasetSpec
from serving.features import lost_features

FEATURES = {
    "item id": {"kind": "categorical"},
    "price": {"kind": "numeric"},
    "tags": {"kind": "multivalued"},
}


@pytest.fixture
def signature():
    """That of a model of all features."""
    signature = meta_graph_pb2.SignatureDef()
    for name, dtype, rank in (
        ("item_id_7d10b5b9", types_pb2.DT_STRING, 1),
        ("price", types_pb2.DT_FLOAT, 1),
        ("tags", types_pb2.DT_STRING, 2),
    ):
        tensor = signature.inputs[name]
        tensor.dtype = dtype
        for _ in range(rank):
            tensor.tensor_shape.dim.add(size=-1)
    return signature


def described(features):
    return DatasetSpec.model_validate(
        {
            "name": "shop",
            "data": {"format": "csv", "path": "rows.csv"},
            "label": {"name": "bought"},
            "scenario": ["channel"],
            "features": {"channel": {"kind": "categorical"}, **features},
        }
    )


def test_a_description_may_have_more(signature):
    assert lost_features(signature, described(FEATURES)) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("item id", "item_id_7d10b5b9 (categorical)"),
        ("price", "price (numeric)"),
        ("tags", "tags (multivalued)"),
    ],
)
def test_what_is_gone_or_of_another_kind_is_lost(signature, name, told):
    others = {k: v for k, v in FEATURES.items() if k != name}
    assert lost_features(signature, described(others)) == [told]
    for feature in FEATURES.values():
        found = lost_features(signature, described(others | {name: feature}))
        assert found == ([] if feature == FEATURES[name] else [told])


def test_a_model_without_the_signature_loses_nothing():
    assert lost_features(meta_graph_pb2.SignatureDef(), described({})) == []

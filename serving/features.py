"""The features that a model takes, against those of a data-set file."""

from __future__ import annotations

from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from midpg_tf.names import safe_name
from midpg_tf.spec import DatasetSpec


def lost_features(
    signature: meta_graph_pb2.SignatureDef, spec: DatasetSpec
) -> list[str]:
    """What a model takes that a description lacks, or has as another kind.

    It may score all the same: a multivalued feature that isn't there is an empty one.

    Args:
        signature: The model's `RAW_SIGNATURE`; an empty one if it has none.
        spec: The description that rows are read by.

    Returns:
        Each feature's `safe_name` and the kind that the model takes, in order.
    """
    kinds = {safe_name(name): feature.kind for name, feature in spec.features.items()}
    taken = {name: _kind(tensor) for name, tensor in signature.inputs.items()}
    return [
        f"{name} ({kind})"
        for name, kind in sorted(taken.items())
        if kinds.get(name) != kind
    ]


def _kind(tensor: meta_graph_pb2.TensorInfo) -> str:
    """The kind of a feature that is exported as such a tensor."""
    if tensor.dtype == types_pb2.DT_FLOAT:
        return "numeric"
    return "multivalued" if len(tensor.tensor_shape.dim) == 2 else "categorical"

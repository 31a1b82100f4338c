"""Signatures on the wire."""

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.signatures import SIGNATURE_DEF, signature_map, signatures_in


def test_a_response_tells_the_signatures_that_were_put_in():
    signatures = {
        name: meta_graph_pb2.SignatureDef(method_name=f"method of {name}")
        for name in ("serving_default", "regress")
    }
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata[SIGNATURE_DEF].Pack(signature_map(signatures))

    assert dict(signatures_in(response).signature_def) == signatures


def test_a_response_without_metadata_tells_none():
    response = get_model_metadata_pb2.GetModelMetadataResponse()

    assert not signatures_in(response).signature_def

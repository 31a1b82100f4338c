"""Names that a model and those who ask it agree on, and signatures on the wire."""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

#: The signature of requests that name none. Of an exported model, it takes whole rows,
#: serialized tf.Examples, by Predict.
DEFAULT_SIGNATURE = "serving_default"

#: Input and output of that signature in an exported model.
EXAMPLES, SCORE = "examples", "score"

#: The signature that takes a tensor for each raw feature.
RAW_SIGNATURE = "predict_raw"

#: The signature of the method Regress, whose requests can have a common context.
CONTEXT_SIGNATURE = "regress"

#: Names of methods in signatures.
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"

#: Where a SavedModel carries its requests: a TFRecord file of PredictionLog.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"

#: The one field of metadata that a model has.
SIGNATURE_DEF = "signature_def"


def signature_map(
    signatures: Mapping[str, meta_graph_pb2.SignatureDef],
) -> get_model_metadata_pb2.SignatureDefMap:
    """Returns signatures by name as the message that metadata has."""
    message = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in signatures.items():
        message.signature_def[name].CopyFrom(signature)
    return message


def signatures_in(
    response: get_model_metadata_pb2.GetModelMetadataResponse,
) -> get_model_metadata_pb2.SignatureDefMap:
    """Returns the signatures that a response tells; none if it tells none."""
    message = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(message)
    return message

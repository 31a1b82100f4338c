"""Messages of TensorFlow Serving's that its wheel has no stubs for."""

from __future__ import annotations

from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

# The messages are read as text, in which names and types alone count: those are
# TensorFlow Serving's.
_FILE = """
name: "midpg_tf/serving.proto"
package: "tensorflow.serving"
syntax: "proto3"
dependency: "google/protobuf/wrappers.proto"
message_type {
  name: "PrometheusConfig"
  field { name: "enable" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "path" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
}
message_type {
  name: "MonitoringConfig"
  field {
    name: "prometheus_config" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
    type_name: ".tensorflow.serving.PrometheusConfig"
  }
}
message_type {
  name: "SSLConfig"
  field { name: "server_key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "server_cert" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "custom_ca" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "client_verify" number: 4 type: TYPE_BOOL label: LABEL_OPTIONAL }
}
message_type {
  name: "BatchingParameters"
  field {
    name: "max_batch_size" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
    type_name: ".google.protobuf.Int64Value"
  }
  field {
    name: "batch_timeout_micros" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL
    type_name: ".google.protobuf.Int64Value"
  }
  field {
    name: "max_enqueued_batches" number: 3 type: TYPE_MESSAGE label: LABEL_OPTIONAL
    type_name: ".google.protobuf.Int64Value"
  }
  field {
    name: "num_batch_threads" number: 4 type: TYPE_MESSAGE label: LABEL_OPTIONAL
    type_name: ".google.protobuf.Int64Value"
  }
  field {
    name: "thread_pool_name" number: 5 type: TYPE_MESSAGE label: LABEL_OPTIONAL
    type_name: ".google.protobuf.StringValue"
  }
  field {
    name: "allowed_batch_sizes" number: 6 type: TYPE_INT64 label: LABEL_REPEATED
  }
  field {
    name: "pad_variable_length_inputs" number: 7 type: TYPE_BOOL label: LABEL_OPTIONAL
  }
  field {
    name: "enable_large_batch_splitting" number: 8 type: TYPE_MESSAGE
    label: LABEL_OPTIONAL type_name: ".google.protobuf.BoolValue"
  }
  field {
    name: "max_execution_batch_size" number: 9 type: TYPE_MESSAGE label: LABEL_OPTIONAL
    type_name: ".google.protobuf.Int64Value"
  }
}
"""

# A pool of its own: were the wheel to gain these messages, they wouldn't collide.
_POOL = descriptor_pool.DescriptorPool()
_POOL.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
_POOL.AddSerializedFile(
    text_format.Parse(_FILE, descriptor_pb2.FileDescriptorProto()).SerializeToString()
)


def _message(name: str) -> Any:
    descriptor = _POOL.FindMessageTypeByName(f"tensorflow.serving.{name}")
    return message_factory.GetMessageClass(descriptor)


BatchingParameters: Any = _message("BatchingParameters")
MonitoringConfig: Any = _message("MonitoringConfig")
SSLConfig: Any = _message("SSLConfig")

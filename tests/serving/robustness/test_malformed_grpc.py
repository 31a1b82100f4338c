"""Malformed gRPC requests: each gets the status of its mistake, and no more."""

import collections
import functools
import logging
from typing import NamedTuple

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

pytestmark = pytest.mark.robustness

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
#: What gRPC itself answers to bytes that are no message, here and in C++.
INTERNAL = grpc.StatusCode.INTERNAL

MODELS = ("m", "ranker", "examples")
SIGNATURES = ("serving_default", "fail", "add", "sleep", "classify", "regress")
LONGEST = 20_000
NUMBER = 5000

log = logging.getLogger(__name__)


class Case(NamedTuple):
    kind: str
    path: str
    content: bytes
    code: grpc.StatusCode


KINDS = {}


def kind(method, service="PredictionService"):
    """Registers what makes a malformed request, and the status that it deserves."""

    def register(make):
        path = f"/tensorflow.serving.{service}/{method}"
        KINDS[make.__name__] = (path, make)
        return make

    return register


# Short ones, and ones whose quotation in an answer is longer than its headers may be.
names = st.text(max_size=10) | st.builds(
    lambda letter, times: letter * times,
    st.characters(codec="utf-8"),
    st.integers(1, 2000),
)
unknown_models = names.filter(lambda name: name and name not in MODELS)
unknown_signatures = names.filter(lambda name: name and name not in SIGNATURES)
numbers = st.lists(st.floats(width=32), min_size=1, max_size=5)


def predict(inputs, model="m", signature=""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(value)
    return request


def floats(draw):
    return tf.make_tensor_proto(draw(numbers), tf.float32)


def affine(draw):
    return predict({"x": floats(draw)})


@kind("Predict")
def no_spec(draw):
    request = affine(draw)
    request.ClearField("model_spec")
    return request, INVALID


@kind("Predict")
def no_name(draw):
    request = affine(draw)
    request.model_spec.name = ""
    return request, INVALID


@kind("Predict")
def unknown_model(draw):
    request = affine(draw)
    request.model_spec.name = draw(unknown_models)
    return request, NOT_FOUND


@kind("Predict")
def unknown_version(draw):
    request = affine(draw)
    version = draw(st.integers(-(2**63), 2**63 - 1).filter(lambda number: number != 1))
    request.model_spec.version.value = version
    return request, NOT_FOUND


@kind("Predict")
def unknown_label(draw):
    request = affine(draw)
    request.model_spec.version_label = draw(names)
    return request, INVALID


@kind("Predict")
def unknown_signature(draw):
    request = affine(draw)
    request.model_spec.signature_name = draw(unknown_signatures)
    return request, PRECONDITION


@kind("Predict")
def renamed_input(draw):
    name = draw(names.filter(lambda name: name != "x"))
    return predict({name: floats(draw)}), INVALID


@kind("Predict")
def another_input(draw):
    name = draw(names.filter(lambda name: name != "x"))
    return predict({"x": floats(draw), name: floats(draw)}), INVALID


@kind("Predict")
def missing_input(draw):
    inputs = draw(st.sampled_from([{}, {"left": floats(draw)}]))
    return predict(inputs, signature="add"), INVALID


@kind("Predict")
def another_type(draw):
    value = draw(st.sampled_from([[1], [b"1"], [True], np.ones(1), np.ones(1, "int8")]))
    return predict({"x": tf.make_tensor_proto(value)}), INVALID


@kind("Predict")
def type_without_values(draw):
    # Numbers of no type, types of references and resources, and those of other fields.
    request = affine(draw)
    request.inputs["x"].dtype = draw(
        st.integers(-(2**31), 2**31 - 1) | st.integers(0, 130)
    )
    if request.inputs["x"].dtype == types_pb2.DT_FLOAT:
        request.inputs["x"].dtype = types_pb2.DT_INVALID
    return request, INVALID


@kind("Predict")
def shape_of_other_size(draw):
    request = affine(draw)
    tensor = request.inputs["x"]
    count = len(tensor.float_val) or tensor.tensor_shape.dim[0].size
    sizes = draw(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4))
    product = 1
    for size in sizes:
        product *= size
    if count <= product < 2**32:
        # A last value that stands for the rest is allowed.
        sizes.append(0)
    del tensor.tensor_shape.dim[:]
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    return request, INVALID


@kind("Predict")
def shape_that_is_not_known(draw):
    request = affine(draw)
    tensor = request.inputs["x"].tensor_shape
    if draw(st.booleans()):
        tensor.unknown_rank = True
    else:
        tensor.dim[0].size = draw(st.integers(-(2**63), -1))
    return request, INVALID


@kind("Predict")
def content_of_other_length(draw):
    request = predict({"x": tf.make_tensor_proto([1.0])})
    tensor = request.inputs["x"]
    tensor.ClearField("float_val")
    tensor.tensor_content = draw(
        st.binary(min_size=1, max_size=40).filter(lambda content: len(content) != 4)
    )
    return request, INVALID


@kind("Predict")
def shapes_that_do_not_fit(draw):
    left, right = draw(st.lists(st.integers(2, 9), min_size=2, max_size=2, unique=True))
    inputs = {
        "left": tf.make_tensor_proto([1.0] * left),
        "right": tf.make_tensor_proto([1.0] * right),
    }
    return predict(inputs, signature="add"), INVALID


@kind("Predict")
def values_that_the_graph_refuses(draw):
    values = draw(st.lists(st.floats(10.0, width=32), min_size=1, max_size=5))
    inputs = {"x": tf.make_tensor_proto(values, tf.float32)}
    return predict(inputs, signature="fail"), INVALID


@kind("Predict")
def unknown_output(draw):
    request = affine(draw)
    outputs = ("y", "same", "x_int")
    request.output_filter.append(draw(names.filter(lambda name: name not in outputs)))
    return request, INVALID


@kind("Predict")
def output_twice(draw):
    request = affine(draw)
    request.output_filter.extend([draw(st.sampled_from(["y", "same"]))] * 2)
    return request, INVALID


good_example = tf.train.Example()
good_example.features.feature["x"].float_list.value.append(1.0)
good_example.features.feature["kind"].bytes_list.value.append(b"a")


def flipped(content, changes):
    """Returns bytes with some of them changed."""
    parts = bytearray(content)
    for position, value in changes:
        parts[position % len(parts)] = value
    return bytes(parts)


whole = good_example.SerializeToString()
# The runtime's parser is lenient, but takes neither a part nor a tag that is none.
spoilt_examples = st.binary(max_size=50).map(lambda content: b"\xff" + content) | (
    st.integers(0, len(whole) - 1).map(lambda length: whole[:length])
)


def examples_of(*contents):
    inputs = {"examples": tf.make_tensor_proto(contents, tf.string)}
    return predict(inputs, model="ranker")


@kind("Predict")
def spoilt_example(draw):
    examples = draw(st.lists(st.just(whole) | spoilt_examples, max_size=3))
    examples.insert(draw(st.integers(0, len(examples))), draw(spoilt_examples))
    return examples_of(*examples), INVALID


# Whether these are examples, the runtime alone knows; it must live to tell.
flipped_examples = st.lists(
    st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=5
).map(lambda changes: flipped(whole, changes))


def examples_request(draw, kind, values=None):
    request = kind()
    if hasattr(request, "model_spec"):
        request.model_spec.name = "examples"
        name = "classify" if "Class" in kind.__name__ else "regress"
        request.model_spec.signature_name = name
    for value in draw(numbers) if values is None else values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


both = st.sampled_from(
    [classification_pb2.ClassificationRequest, regression_pb2.RegressionRequest]
)


def spoil_input(draw, request):
    """Spoils the examples in one of several ways."""
    examples = request.input.example_list.examples
    match draw(st.sampled_from(["none", "empty", "missing", "type", "count"])):
        case "none":
            request.input.Clear()
        case "empty":
            del examples[:]
        case "missing":
            name = draw(names.filter(lambda name: name != "x"))
            del examples[0].features.feature["x"]
            examples[0].features.feature[name].float_list.value.append(1.0)
        case "type":
            value = draw(st.binary(max_size=9))
            examples[0].features.feature["x"].bytes_list.value.append(value)
        case "count":
            examples[0].features.feature["x"].float_list.value.append(1.0)


@kind("Classify")
def spoilt_classify(draw):
    request = examples_request(draw, classification_pb2.ClassificationRequest)
    spoil_input(draw, request)
    return request, INVALID


@kind("Regress")
def spoilt_regress(draw):
    request = examples_request(draw, regression_pb2.RegressionRequest)
    spoil_input(draw, request)
    return request, INVALID


@kind("Classify")
def classify_by_another_signature(draw):
    request = examples_request(draw, classification_pb2.ClassificationRequest)
    request.model_spec.signature_name = draw(
        names.filter(lambda name: name != "classify")
    )
    return request, INVALID


@kind("Regress")
def regress_of_another_model(draw):
    request = examples_request(draw, regression_pb2.RegressionRequest)
    request.model_spec.name = draw(unknown_models)
    return request, NOT_FOUND


def task(request, signature="regress", method="regress", model="examples"):
    found = request.tasks.add(method_name=f"tensorflow/serving/{method}")
    found.model_spec.name = model
    found.model_spec.signature_name = signature


@kind("MultiInference")
def spoilt_tasks(draw):
    request = examples_request(draw, inference_pb2.MultiInferenceRequest)
    code = INVALID
    match draw(st.sampled_from(["none", "twice", "models", "signature", "method"])):
        case "twice":
            task(request)
            task(request)
        case "models":
            task(request)
            task(request, "classify", "classify", draw(unknown_models))
        case "signature":
            task(request, draw(unknown_signatures))
        case "method":
            task(request, method=draw(names.filter(lambda n: n not in SIGNATURES)))
            code = UNIMPLEMENTED
    return request, code


@kind("MultiInference")
def spoilt_multi_inference(draw):
    request = examples_request(draw, inference_pb2.MultiInferenceRequest)
    task(request)
    task(request, "classify", "classify")
    spoil_input(draw, request)
    return request, INVALID


@kind("GetModelMetadata")
def spoilt_metadata(draw):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "m"
    match draw(st.sampled_from(["none", "field", "model", "spec"])):
        case "field":
            field = draw(names.filter(lambda name: name != "signature_def"))
            request.metadata_field.extend(["signature_def", field])
        case "model":
            request.metadata_field.append("signature_def")
            request.model_spec.name = draw(unknown_models)
            return request, NOT_FOUND
        case "spec":
            request.metadata_field.append("signature_def")
            request.ClearField("model_spec")
    return request, INVALID


@kind("GetModelStatus", "ModelService")
def spoilt_status(draw):
    request = get_model_status_pb2.GetModelStatusRequest()
    match draw(st.sampled_from(["none", "model", "version"])):
        case "none":
            return request, INVALID
        case "model":
            request.model_spec.name = draw(unknown_models)
        case "version":
            request.model_spec.name = "m"
            request.model_spec.version.value = draw(st.integers(2, 2**63 - 1))
    return request, NOT_FOUND


@kind("HandleReloadConfigRequest", "ModelService")
def spoilt_configuration(draw):
    request = model_management_pb2.ReloadConfigRequest()
    spoilt = draw(st.sampled_from(["none", "name", "twice", "platform", "path"]))
    for number in range(0 if spoilt == "none" else draw(st.integers(2, 4))):
        config = request.config.model_config_list.config.add(
            name=f"m{number}", base_path="/none", model_platform="tensorflow"
        )
        if number != 1:
            continue
        match spoilt:
            case "name":
                config.name = ""
            case "twice":
                config.name = "m0"
            case "platform":
                config.model_platform = draw(
                    names.filter(lambda name: name != "tensorflow")
                )
            case "path":
                config.base_path = draw(
                    names.filter(lambda p: not p.startswith("/") and "://" not in p)
                )
    return request, INVALID


@kind("HandleReloadConfigRequest", "ModelService")
def label_of_no_version(draw):
    request = model_management_pb2.ReloadConfigRequest()
    config = request.config.model_config_list.config.add(
        name="m", base_path="/none", model_platform="tensorflow"
    )
    config.version_labels[draw(names)] = draw(st.integers(2, 2**63 - 1))
    return request, PRECONDITION


MESSAGES = {
    "Predict": predict_pb2.PredictRequest,
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": regression_pb2.RegressionRequest,
    "MultiInference": inference_pb2.MultiInferenceRequest,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
    "HandleReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
}


def is_message(path, content):
    try:
        MESSAGES[path.rsplit("/", 1)[1]].FromString(content)
    except DecodeError:
        return False
    return True


@st.composite
def cases(draw):
    """A malformed request: a message that is wrong, or bytes that are none."""
    chosen = draw(st.sampled_from([*KINDS, "bytes", "no_method"]))
    if chosen in KINDS:
        path, make = KINDS[chosen]
        request, code = make(draw)
        return Case(chosen, path, request.SerializeToString(), code)
    path, make = draw(st.sampled_from(list(KINDS.values())))
    content = make(draw)[0].SerializeToString()
    if chosen == "no_method":
        path += draw(st.text("aZ0_/.", min_size=1, max_size=9))
        return Case(chosen, path, content, UNIMPLEMENTED)
    spoilt = draw(
        st.one_of(
            st.integers(0, max(0, len(content) - 1)).map(lambda n: content[:n]),
            st.binary(min_size=1, max_size=100),
            st.lists(
                st.tuples(st.integers(0, 1000), st.integers(0, 255)), min_size=1
            ).map(lambda changes: flipped(content or b"\0", changes)),
        )
    )
    while is_message(path, spoilt):
        # The start of a field that never ends.
        spoilt += b"\x0a\xff"
    return Case(chosen, path, spoilt, INTERNAL)


@pytest.fixture
def server(launch, models, entry, write_config, publish, tmp_path):
    entries = [entry(tmp_path, name) for name in MODELS]
    for name, source in (
        ("m", models.half_plus_two),
        ("ranker", models.ranker),
        ("examples", models.examples),
    ):
        publish(source, tmp_path / name, 1)
    return launch(
        model_config_file=write_config(tmp_path / "models.config", *entries),
        max_message_bytes=LONGEST,
    )


@pytest.fixture
def ask(server):
    """Sends bytes to a method of that path; gives the call."""
    with grpc.insecure_channel(server.target) as channel:
        caller = functools.cache(channel.unary_unary)
        yield lambda path, content: caller(path).future(content, timeout=20)


def test_each_gets_the_status_of_its_mistake(server, ask, memory, ask_all):
    seen = collections.Counter()

    def check(case):
        seen[case.kind] += 1
        call = ask(case.path, case.content)
        assert call.code() is case.code, call.details()
        assert call.details()

    def check_flipped(example):
        call = ask(KINDS["no_spec"][0], examples_of(example).SerializeToString())
        assert call.code() in (INVALID, grpc.StatusCode.OK), call.details()

    ask_all(cases(), check, 500)
    before = memory(server)
    seen.clear()
    ask_all(cases(), check, NUMBER)
    # gRPC takes its time with these, so there are few.
    for length in range(LONGEST + 1, LONGEST + 6):
        check(Case("too_long", KINDS["no_spec"][0], bytes(length), EXHAUSTED))
    ask_all(flipped_examples, check_flipped, 300)
    after = memory(server)

    log.info("%d requests, memory %+.2f %%", seen.total(), (after / before - 1) * 100)
    assert seen.total() >= NUMBER
    assert seen.keys() == {*KINDS, "bytes", "no_method", "too_long"}
    assert after <= 1.05 * before
    for request, output, value in (
        (predict({"x": tf.make_tensor_proto([1.0])}), "y", 2.5),
        (examples_of(whole), "score", 1.0),
    ):
        call = ask(KINDS["no_spec"][0], request.SerializeToString())
        outputs = predict_pb2.PredictResponse.FromString(call.result()).outputs
        assert list(outputs[output].float_val) == [value]

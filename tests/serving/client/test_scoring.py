"""Requests without a server: what is in them, and how their answers are read."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, regression_pb2

from serving.client import Canary, RequestRowError
from serving.client.choice import VersionChoice
from serving.client.scoring import RequestBuilder, Scores
from serving.errors import ServingError

CANARY = Canary("canary", 0.3, "user")


def build(spec, rows, context=None, *, canary=None, asked=None, rows_per_request=1000):
    stable = VersionChoice(label="stable")
    builder = RequestBuilder("m", spec, stable, canary, rows_per_request)
    return list(builder.requests(rows, context, asked or VersionChoice()))


def xs(request):
    return [
        tf.train.Example.FromString(raw).features.feature["x"].float_list.value[0]
        for raw in request.message.inputs["examples"].string_val
    ]


def rows(count):
    return [{"kind": "a", "x": i, "tags": "", "user": f"u{i}"} for i in range(count)]


def test_rows_go_in_requests_of_a_bounded_number(spec):
    requests = build(spec, rows(5), rows_per_request=2)

    assert [xs(request) for request in requests] == [[0, 1], [2, 3], [4]]
    spec_of_model = requests[0].message.model_spec
    assert spec_of_model.signature_name == "serving_default"
    assert spec_of_model.version_label == "stable"
    assert list(requests[0].message.output_filter) == ["score"]


def test_a_calls_own_version_is_asked(spec):
    (request,) = build(spec, rows(1), asked=VersionChoice(7))

    assert request.message.model_spec.version.value == 7


def test_requests_are_made_when_they_are_asked_for(spec):
    def endless():
        while True:
            yield rows(1)[0]

    builder = RequestBuilder("m", spec, VersionChoice(), None, 3)
    requests = builder.requests(endless(), None, VersionChoice())

    assert xs(next(requests)) == [0, 0, 0]


def test_the_context_is_sent_once(spec):
    context = {"kind": "k" * 500, "tags": ["t" * 20] * 10}
    candidates = [{"x": i} for i in range(100)]

    (whole,) = build(spec, [context | row for row in candidates])
    (split,) = build(spec, candidates, context)

    # A candidate is its x: some 20 bytes of keys, lengths and a float.
    size = split.message.ByteSize()
    assert 700 < size < 700 + 100 * 30
    assert whole.message.ByteSize() > 100 * 700
    raw = split.message.SerializeToString()
    assert (raw.count(b"k" * 500), raw.count(b"t" * 20)) == (1, 10)
    assert split.message.model_spec.signature_name == "regress"


def test_each_request_has_the_context(spec):
    requests = build(
        spec,
        [{"x": i} for i in range(5)],
        {"kind": "a", "tags": ""},
        rows_per_request=2,
    )

    for request, size in zip(requests, [2, 2, 1], strict=True):
        content = request.message.input.example_list_with_context
        assert set(content.context.features.feature) == {"kind", "tags"}
        assert len(content.examples) == size


def test_a_canary_gets_the_rows_of_its_users(spec):
    found = {}
    for request in build(spec, rows(100), canary=CANARY, rows_per_request=10):
        assert len(request.positions) <= 10
        assert xs(request) == list(request.positions)
        label = request.message.model_spec.version_label
        found.update(dict.fromkeys(request.positions, label))

    assert found == {
        i: "canary" if CANARY.takes("m", f"u{i}") else "stable" for i in range(100)
    }
    assert set(found.values()) == {"canary", "stable"}


USERS = [f"u{number}" for number in range(12)]


def test_the_key_may_be_in_the_context_or_a_frame(spec):
    assert {CANARY.takes("m", user) for user in USERS} == {True, False}
    for user in USERS:
        label = "canary" if CANARY.takes("m", user) else "stable"
        context = {"kind": "a", "tags": "", "user": user}
        frame = pd.DataFrame([context | {"x": 1}])
        for request in (
            *build(spec, [{"x": 1}, {"x": 2}], context, canary=CANARY),
            *build(spec, frame, canary=CANARY),
        ):
            assert request.message.model_spec.version_label == label


def test_a_rows_own_key_comes_before_the_contexts(spec):
    context = {"kind": "a", "tags": "", "user": USERS[0]}
    for user in USERS:
        (request,) = build(spec, [{"x": 1, "user": user}], context, canary=CANARY)

        label = "canary" if CANARY.takes("m", user) else "stable"
        assert request.message.model_spec.version_label == label


def test_a_canary_needs_a_key(spec):
    with pytest.raises(
        RequestRowError,
        match=r"rows\[1\]: column 'user': expected the canary's key; found .* kind, x",
    ):
        build(spec, [rows(1)[0], {"kind": "a", "x": 1}], {"tags": ""}, canary=CANARY)
    with pytest.raises(RequestRowError, match=r"rows\[0\]: column 'user': .* 1.5"):
        build(spec, [rows(1)[0] | {"user": 1.5}], canary=CANARY)


def test_a_version_that_is_asked_for_is_no_canary(spec):
    (request,) = build(spec, rows(100), canary=CANARY, asked=VersionChoice(3))

    assert request.message.model_spec.version.value == 3


def test_a_canary_needs_another_version(spec):
    with pytest.raises(ValueError, match="canary: expected a label or a version"):
        RequestBuilder("m", spec, VersionChoice(), CANARY, 10)


def predicted(*scores):
    response = predict_pb2.PredictResponse()
    response.outputs["score"].CopyFrom(tf.make_tensor_proto(scores, tf.float32))
    return response


def test_scores_come_back_in_the_order_of_the_rows(spec):
    requests = build(spec, rows(100), canary=CANARY, rows_per_request=7)
    scores = Scores()

    for request in reversed(requests):
        scores.add(request, predicted(*xs(request)))

    assert scores.in_order().dtype == np.float32
    np.testing.assert_array_equal(scores.in_order(), np.arange(100))


def test_one_score_a_row(spec):
    (whole,) = build(spec, rows(2))
    (split,) = build(spec, [{"x": 1}, {"x": 2}], {"kind": "a", "tags": ""})
    one = regression_pb2.RegressionResponse()
    one.result.regressions.add(value=1)

    for request, response in ((whole, predicted(1, 2, 3)), (split, one)):
        with pytest.raises(ServingError, match=r"expected shape \(2,\), found"):
            request.scores(response)

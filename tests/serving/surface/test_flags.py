"""Flags that the other files have no server for: batching, sockets, TLS, tags, gRPC."""

import functools
import time

import grpc
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("surface")]

FOUR = {"x": [1.0, 2.0, 3.0, 4.0]}


@pytest.fixture
def tagged(flagged, connect):
    """The stubs of `flagged`."""
    return connect(flagged.server.target)


def test_name_tags_and_no_warm_up(flagged, tagged, predict_request):
    # It serves, so the damaged file of its warm-up was left alone.
    response = tagged.predictions.Predict(
        predict_request(FOUR, model="tagged"), timeout=10
    )

    assert list(response.outputs["y"].float_val) == [10, 20, 30, 40]
    assert flagged.server.rest("/v1/models/tagged").status_code == 200


def test_requests_of_several_callers_run_together(tagged, predict_request):
    rows = [[1.0], [2.0, 3.0], [4.0]]
    requests = [predict_request({"x": row}, model="tagged") for row in rows]
    started = time.monotonic()

    calls = [tagged.predictions.Predict.future(r, timeout=20) for r in requests]
    answers = [call.result().outputs for call in calls]

    # A batch of 4 is full, and waits no longer.
    assert time.monotonic() - started < 1.5
    assert [list(outputs["y"].float_val) for outputs in answers] == [
        [10],
        [20, 30],
        [40],
    ]
    assert [list(outputs["size"].int_val) for outputs in answers] == [[4], [4, 4], [4]]


def test_a_request_waits_for_others_as_long_as_it_is_told(tagged, predict_request):
    started = time.monotonic()

    response = tagged.predictions.Predict(
        predict_request({"x": [1.0]}, model="tagged"), timeout=20
    )

    assert time.monotonic() - started > 1.9
    assert list(response.outputs["size"].int_val) == [1]


def test_a_unix_socket(flagged, connect, predict_request):
    stubs = connect(f"unix:{flagged.socket}")

    response = stubs.predictions.Predict(
        predict_request(FOUR, model="tagged"), timeout=10
    )

    assert list(response.outputs["y"].float_val) == [10, 20, 30, 40]


def test_arguments_of_the_grpc_channel(
    flagged, server, connect, tagged, predict_request
):
    metadata = [("much", "x" * 50_000)]

    def code(stubs, request):
        call = stubs.predictions.Predict.future(request, timeout=10, metadata=metadata)
        return call.code()

    request = predict_request({"x": [1.0]})
    plain = code(connect(server.target), request)
    assert plain is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert code(tagged, predict_request(FOUR, model="tagged")) is grpc.StatusCode.OK


def test_polling_can_be_left_out(
    flagged, tagged, models, push, predict_request, states
):
    push(models.tagged, flagged.base, 2)
    # More than the second from one look to the next, if there were one.
    time.sleep(1.5)

    assert states(tagged, "tagged") == {1: 30}


def test_tls_with_certificates_of_clients(
    start, models, link, tmp_path, connect, predict_request, issue, write_ssl_config
):
    authority = issue("authority")
    own, client = (issue(name, issuer=authority) for name in ("server", "client"))
    link(tmp_path / "m", {1: models.half_plus_two})
    known = grpc.ssl_channel_credentials(
        authority.certificate, client.key, client.certificate
    )
    server = start(
        channel=functools.partial(grpc.secure_channel, credentials=known),
        model_name="m",
        model_base_path=tmp_path / "m",
        ssl_config_file=write_ssl_config(own, authority, verify=True),
    )

    # By a client that the authority knows.
    server.wait_until_ready(m={1})
    request = predict_request({"x": [1.0]})
    plain = connect(server.target).predictions.Predict.future(request, timeout=10)
    assert plain.code() is grpc.StatusCode.UNAVAILABLE
    nobody = grpc.ssl_channel_credentials(authority.certificate)
    with grpc.secure_channel(server.target, nobody) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        answer = call.future(request.SerializeToString(), timeout=10)
        assert answer.code() is grpc.StatusCode.UNAVAILABLE

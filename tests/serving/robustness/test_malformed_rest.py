"""Malformed REST requests: each gets the status of its mistake, as JSON.

Hypothesis alone draws them: schemathesis would need an OpenAPI schema of the API, which
TensorFlow Serving doesn't have.
"""

import base64
import collections
import gzip
import json
import logging
import time
import zlib
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import strategies as st

pytestmark = pytest.mark.robustness

MODELS = ("m", "types", "examples")
LONGEST = 100_000
NUMBER = 5000

log = logging.getLogger(__name__)


class Case(NamedTuple):
    kind: str
    content: bytes
    status: int


KINDS = {}


def kind(make):
    """Registers what makes a malformed request, and the status that it deserves."""
    KINDS[make.__name__] = make
    return make


def request(
    path="/v1/models/m:predict", body=b"", *, method="POST", headers="", length=None
):
    """Returns the bytes of a request."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    length = len(body) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}"
    return head.encode("latin-1") + b"\r\n\r\n" + body


names = st.text(max_size=10)
# Halves of surrogate pairs, too, which JSON can escape.
texts = names | st.text(st.characters(categories=["Cs", "L", "N"]), max_size=5)
unknown_models = names.filter(lambda name: name and name not in MODELS)
numbers = st.integers() | st.floats()
leaves = st.none() | st.booleans() | numbers | texts | st.just({"b64": "?"})
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=10,
)
floats = st.lists(st.floats(width=32), min_size=1, max_size=4)
# Above all near the depth at which Python gives up.
depths = st.integers(2, 2000) | st.integers(900, 1010) | st.just(10_000)
methods = st.sampled_from(["predict", "classify", "regress"])
good = {"inputs": [1.0]}


@kind
def unknown_path(draw):
    path = "/v1/" + draw(st.sampled_from(["", "model", "models/m/x", "models/m:x"]))
    path += quote(draw(names), safe="/:")
    method = draw(st.sampled_from(["GET", "POST"]))
    if path == "/v1/models":
        path += "s"
    return request(path, good, method=method), 400


@kind
def another_method(draw):
    methods = ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]
    path = draw(st.sampled_from(["/v1/models/m", "/v1/models/m:predict"]))
    return request(path, good, method=draw(st.sampled_from(methods))), 400


@kind
def predict_by_get(draw):
    return request(f"/v1/models/m:{draw(methods)}", method="GET"), 400


@kind
def unknown_model(draw):
    path = f"/v1/models/{quote(draw(unknown_models), safe='')}"
    if draw(st.booleans()):
        return request(path, method="GET"), 404
    return request(f"{path}:predict", good), 404


@kind
def name_of_no_text(draw):
    name = draw(st.binary(max_size=5)) + b"\xff"
    path = f"/v1/models/{quote(name, safe='')}"
    if draw(st.booleans()):
        return request(path, method="GET"), 400
    return request(f"{path}:predict", good), 400


@kind
def name_of_raw_bytes(draw):
    # Not percent-encoded, as no client should send it.
    content = request("/v1/models/RAW:predict", good)
    name = draw(names.filter(lambda name: not name.isascii())).encode()
    return content.replace(b"RAW", name), 400


@kind
def unknown_version(draw):
    version = draw(st.integers(2, 2**63 - 1))
    path = f"/v1/models/m/versions/{version}"
    if draw(st.booleans()):
        return request(path, method="GET"), 404
    return request(f"{path}:predict", good), 404


@kind
def version_of_no_number(draw):
    version = draw(
        st.integers(2**63, 2**80).map(str)
        | st.integers(1, 7000).map(lambda length: "9" * (19 + length))
        | st.text("0123456789.-+eE", min_size=1).filter(lambda t: not t.isdigit())
    )
    path = f"/v1/models/m/versions/{version}"
    if draw(st.booleans()):
        return request(path, method="GET"), 400
    return request(f"{path}:predict", good), 400


@kind
def unknown_label(draw):
    label = quote(draw(names.filter(bool)), safe="")
    return request(f"/v1/models/m/labels/{label}:predict", good), 400


@kind
def no_json(draw):
    return request(body=draw(st.binary(max_size=100)).replace(b"{", b"")), 400


@kind
def part_of_json(draw):
    body = json.dumps({"signature_name": "add", "instances": [{"left": 1, "right": 2}]})
    return request(body=body[: draw(st.integers(0, len(body) - 1))].encode()), 400


@kind
def changed_json(draw):
    body = bytearray(b'{"instances": [{"left": 1.5, "right": 2.5}]}')
    # Whatever it is then, it names no input of the default signature.
    for position, value in draw(
        st.lists(st.tuples(st.integers(0, 43), st.integers(0, 255)), max_size=4)
    ):
        body[position] = value
    return request(body=bytes(body)), 400


@kind
def no_object(draw):
    value = draw(documents.filter(lambda value: not isinstance(value, dict)))
    return request(f"/v1/models/m:{draw(methods)}", value), 400


@kind
def object_without_inputs(draw):
    value = draw(st.dictionaries(texts, documents, max_size=3))
    return request(f"/v1/models/m:{draw(methods)}", value), 400


@kind
def any_instances(draw):
    key = draw(st.sampled_from(["instances", "inputs"]))
    return request("/v1/models/types:predict", {key: draw(documents)}), 400


@kind
def any_values(draw):
    row = dict.fromkeys(("whole", "wide", "double", "flag", "text", "data_bytes"), 1)
    row[draw(st.sampled_from(list(row)))] = draw(documents)
    # No integer, and none that fits.
    row["whole"] = draw(st.floats() | st.integers(2**31) | texts | st.booleans())
    document = draw(st.sampled_from([{"instances": [row]}, {"inputs": row}]))
    return request("/v1/models/types:predict", document), 400


@kind
def any_examples(draw):
    names = texts.filter(lambda name: name != "x")
    examples = documents | st.lists(st.dictionaries(names, documents, max_size=3))
    document = {"examples": draw(examples), "signature_name": draw(methods)}
    if draw(st.booleans()):
        document["context"] = draw(documents)
    path = f"/v1/models/examples:{draw(methods.filter(lambda name: name != 'predict'))}"
    return request(path, document), 400


@kind
def any_signature(draw):
    name = draw(documents.filter(lambda value: value not in ("", "add")))
    return request(body={"signature_name": name, **good}), 400


@kind
def both_forms(draw):
    return request(body={"instances": [1.0], "inputs": draw(documents)}), 400


@kind
def ragged(draw):
    rows = draw(st.lists(floats, min_size=2, max_size=4))
    rows.append([1.0] * (len(rows[0]) + 1))
    return request(body={draw(st.sampled_from(["instances", "inputs"])): rows}), 400


@kind
def other_values(draw):
    values = draw(st.lists(st.none() | st.booleans() | texts, min_size=1, max_size=3))
    key = draw(st.sampled_from(["instances", "inputs"]))
    return request(body={key: values}), 400


@kind
def number_without_end(draw):
    digits = draw(st.integers(300, 20_000))
    key = draw(st.sampled_from(["instances", "inputs", "signature_name", "examples"]))
    sign = draw(st.sampled_from(["", "-"]))
    return request(body=f'{{"{key}": [{sign}{"9" * digits}]}}'.encode()), 400


@kind
def nested_without_end(draw):
    depth = draw(depths)
    start, end = draw(st.sampled_from(["[]", ('{"a":', "}")]))
    value = (
        start * depth + draw(st.sampled_from(["1", "null", '"x"', ""])) + end * depth
    )
    if draw(st.integers(0, 9)) == 0:
        value = start * depth
    key = draw(st.sampled_from(["instances", "inputs", "examples", "context", "other"]))
    more = draw(st.sampled_from(["", ', "examples": 1', ', "signature_name": "types"']))
    model, method = draw(st.sampled_from(MODELS)), draw(methods)
    body = f'{{"{key}": {value}{more}}}'.encode()
    if (model, method) == ("m", "predict"):
        model = "types"
    return request(f"/v1/models/{model}:{method}", body), 400


@kind
def wrong_base64(draw):
    text = draw(texts.filter(lambda text: not text.isalnum()))
    document = {"inputs": [{"b64": text + "?"}]}
    return request("/v1/models/examples:predict", document), 400


@kind
def no_example(draw):
    content = b"\xff" + draw(st.binary(max_size=20))
    encoded = base64.b64encode(content).decode()
    document = {"instances": [{"b64": encoded}]}
    return request("/v1/models/examples:predict", document), 400


@kind
def refused_by_the_graph(draw):
    values = draw(st.lists(st.floats(10, 1e30), min_size=1, max_size=4))
    return request(body={"signature_name": "fail", "inputs": values}), 400


@kind
def wrong_compression(draw):
    encoding = draw(st.sampled_from(["gzip", "deflate"]))
    body = json.dumps(good).encode()
    whole = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    spoilt = draw(
        st.integers(0, len(whole) // 2).map(lambda length: whole[:length])
        | st.binary(min_size=1).map(lambda content: b"no" + content)
    )
    return request(body=spoilt, headers=f"Content-Encoding: {encoding}\r\n"), 400


@kind
def wrong_length(draw):
    length = draw(st.sampled_from(["-1", "1e3", "0x5", "", "ten", "5, 6", "9" * 99]))
    return request(body=good, length=length), 400


@kind
def two_lengths(draw):
    headers = f"Content-Length: {draw(st.integers(20, 10**9))}\r\n"
    return request(body=good, headers=headers), 400


@kind
def length_too_short(draw):
    body = json.dumps(good).encode()
    return request(body=body, length=draw(st.integers(0, len(body) - 1))), 400


@kind
def wrong_chunks(draw):
    size = draw(st.sampled_from(["x", "-5", "", "0x5", "5;\x00", "f" * 40]))
    head = (
        "POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n{size}\r\n"
    )
    return head.encode() + b'{"inputs": [1.0]}\r\n0\r\n\r\n', 400


@kind
def wrong_headers(draw):
    header = draw(
        st.sampled_from(
            [
                "no colon\r\n",
                ": no name\r\n",
                "a b: c\r\n",
                "a: \x00\r\n",
                "a: \x01b\r\n",
            ]
        )
        | st.integers(9000, 12_000).map(lambda length: f"a: {'b' * length}\r\n")
    )
    return request(body=good, headers=header), 400


@kind
def wrong_first_line(draw):
    line = draw(
        st.sampled_from(
            [
                "POST /v1/models/m:predict HTTP/9.x",
                "POST /v1/models/m:predict HTTQ/1.1",
                "/v1/models/m:predict HTTP/1.1",
                "PO(ST /v1/models/m:predict HTTP/1.1",
                f"GET /v1/models/{'m' * 9000} HTTP/1.1",
            ]
        )
    )
    return f"{line}\r\nHost: h\r\n\r\n".encode(), 400


@st.composite
def cases(draw):
    """A malformed request."""
    chosen = draw(st.sampled_from(list(KINDS)))
    content, status = KINDS[chosen](draw)
    return Case(chosen, content, status)


def error_of(answer):
    """Returns status and message of an answer that is a well-formed error."""
    status, headers, body = answer
    assert headers["Content-Type"].startswith("application/json"), body
    document = json.loads(body)
    assert document.keys() == {"error"}
    assert isinstance(document["error"], str)
    assert document["error"]
    return status, document["error"]


def test_each_gets_the_status_of_its_mistake(
    launch, models, entry, write_config, publish, tmp_path, memory, call_raw, ask_all
):
    entries = [entry(tmp_path, name) for name in MODELS]
    for name, source in (
        ("m", models.half_plus_two),
        ("types", models.types),
        ("examples", models.examples),
    ):
        publish(source, tmp_path / name, 1)
    server = launch(
        model_config_file=write_config(tmp_path / "models.config", *entries),
        max_message_bytes=LONGEST,
        rest_api_port=-1,
    )
    caller = call_raw(server.rest_target)
    seen = collections.Counter()

    def ask(case):
        seen[case.kind] += 1
        status, message = error_of(caller.ask(case.content))
        assert status == case.status, message
        if case.kind == "length_too_short":
            # The rest of the body waits to be taken for a request.
            caller.close()

    ask_all(cases(), ask, 500)
    before = memory(server)
    seen.clear()
    ask_all(cases(), ask, NUMBER)
    after = memory(server)

    log.info("%d requests, memory %+.2f %%", seen.total(), (after / before - 1) * 100)
    assert seen.total() >= NUMBER
    assert seen.keys() == KINDS.keys()
    assert after <= 1.05 * before
    status, _, body = caller.ask(request(body={"inputs": [1.0, 2.0]}))
    assert (status, json.loads(body)["outputs"]["y"]) == (200, [2.5, 3.0])
    document = {"signature_name": "regress", "examples": [{"x": 1.0}]}
    status, _, body = caller.ask(request("/v1/models/examples:regress", document))
    assert (status, json.loads(body)) == (200, {"results": [1.5]})


def test_a_body_that_does_not_come_keeps_no_place(
    models, publish, tmp_path, serve, call_raw
):
    publish(models.half_plus_two, tmp_path, 1)
    server = serve(
        tmp_path,
        rest_api_port=-1,
        rest_api_timeout_in_ms=300,
        max_concurrent_requests=1,
    )
    caller = call_raw(f"127.0.0.1:{server.rest_port}")
    started = time.monotonic()

    answer = caller.ask(request(body=good, length=1000))

    assert error_of(answer) == (408, "the body did not come within 0.3 s")
    assert 0.3 <= time.monotonic() - started < 3
    assert answer[1]["Connection"] == "close"
    assert caller.ask(request(body=good))[0] == 200

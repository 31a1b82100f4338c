"""No path of REST leads out of the base path of a model."""

import re

import pytest
from hypothesis import strategies as st

pytestmark = pytest.mark.robustness

SECRET = b"nobody may read this"

parts = st.sampled_from(
    [
        *("..", "%2e%2e", ".%2e", "%252e%252e", "..%2f..", "..%5c..", "..\\..", "...."),
        *("%c0%ae%c0%ae", "%u002e", "..;", "~", "%00", "", ".", "*", "file:", "%2f"),
        *(
            "m",
            "1",
            "outside",
            "secret",
            "saved_model.pb",
            "variables",
            "etc",
            "passwd",
        ),
        *("v1", "models", "versions", "labels", "metadata", "m%2f..%2foutside"),
    ]
)
starts = st.sampled_from(
    [
        *("/v1/models/", "/v1/models/m/", "/v1/models/m/versions/1/", "/V1/MODELS/"),
        *("/v1/models/m/labels/", "http://h/v1/models/", "/v1/", "/", "//", "../", "?"),
    ]
)
ends = st.sampled_from(["", "", "/metadata", ":predict", "?x=../secret", "#../secret"])
paths = st.builds(
    lambda start, middle, end: start + "/".join(middle) + end,
    starts,
    st.lists(parts, min_size=1, max_size=6),
    ends,
)
# As in TensorFlow Serving, a status knows no labels.
VALID = re.compile(
    r"(http://h)?/v1/models/m(/versions/1|/labels/[^/:?#]+)?(/metadata)?([?#].*)?", re.I
)


@pytest.fixture
def base(lines, publish, tmp_path):
    publish(lines[1], tmp_path / "m", 1)
    publish(lines[2], tmp_path / "outside", 1)
    (tmp_path / "secret").write_bytes(SECRET)
    return tmp_path / "m"


def test_no_path_leads_out_of_the_base_path(base, serve, call_raw, ask_all):
    server = serve(base, rest_api_port=-1)
    caller = call_raw(f"127.0.0.1:{server.rest_port}")
    body = b'{"inputs": [1.0]}'
    refused = set()

    def ask(path):
        head = f"Host: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for method in ("GET", "POST"):
            line = f"{method} {path} HTTP/1.1\r\n".encode()
            status, _, answer = caller.ask(line + head + body)
            assert SECRET not in answer
            assert b"root:" not in answer
            assert str(base.parent).encode() not in answer
            if not VALID.fullmatch(path):
                assert status in (400, 404), answer
                refused.add(path)

    for path in (
        "/v1/models/../secret",
        "/v1/models/..%2foutside:predict",
        "/v1/models/m/versions/../../outside/versions/1:predict",
        "/v1/models/m/../../secret",
        "/../../../../etc/passwd",
        "http://h/../etc/passwd",
    ):
        ask(path)
    ask_all(paths, ask, 500)

    assert len(refused) > 400
    line = (
        b"POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 17\r\n\r\n"
    )
    assert caller.ask(line + body)[0] == 200

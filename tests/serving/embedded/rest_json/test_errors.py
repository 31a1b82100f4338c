"""Values in the messages of errors."""

import json

import pytest

from serving.embedded.errors import MESSAGE_LIMIT, clip
from serving.embedded.rest_json.errors import json_text, wrong


@pytest.mark.parametrize(
    "value", [1, 2.5, None, "ö", [], {}, {"a": [1, {"b": [True, "x"]}]}]
)
def test_a_short_value_is_shown_as_a_whole(value):
    assert json_text(value) == json.dumps(value, indent=4)


def test_of_a_long_value_no_more_is_made_than_is_sent():
    value = {"instances": [{"x": [1.5] * 10_000}]}

    message = wrong(value, "is wrong").message

    assert len(message) < MESSAGE_LIMIT + 100
    assert clip(message) == clip(f"JSON Value: {json.dumps(value, indent=4)} is wrong")


def test_of_a_deep_value_the_start_is_shown():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    assert json_text(deep).startswith("[\n    [\n        [\n")

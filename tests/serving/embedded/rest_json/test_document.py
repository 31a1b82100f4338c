"""Bodies of requests, apart from a server."""

import math

import pytest

from serving.embedded.rest_json.document import parse_json
from serving.errors import ServingError


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + 400 * "0"])
def test_numbers_that_no_float_holds_are_refused(number):
    with pytest.raises(ServingError, match="JSON Parse error: Number too big"):
        parse_json(f'{{"x": {number}}}'.encode())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", -(2.0**63)),
        ("100000000000000000000", 1e20),
    ],
)
def test_integers_beyond_64_bits_are_floats(text, number):
    found = parse_json(f'{{"x": {text}}}'.encode())["x"]

    assert found == number
    assert type(found) is type(number)


def test_infinity_and_nan_are_numbers():
    values = parse_json(b'{"x": [Infinity, -Infinity, NaN]}')["x"]

    assert values[:2] == [math.inf, -math.inf]
    assert math.isnan(values[2])

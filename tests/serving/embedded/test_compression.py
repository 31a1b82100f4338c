"""Compressed bodies: whole ones, spoilt ones, and those of too many bytes."""

import gzip
import zlib

import pytest

from serving.embedded.compression import decompress

TEXT = b'{"inputs": [1.0]}'
# With names: gzip notes the time, by which two workers would collect other tests.
WHOLE = [
    pytest.param("gzip", gzip.compress(TEXT), id="gzip"),
    pytest.param("deflate", zlib.compress(TEXT), id="deflate"),
]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        *WHOLE,
        pytest.param("deflate", zlib.compress(TEXT, wbits=-15), id="no header"),
        pytest.param("deflate", zlib.compress(TEXT, wbits=9), id="short window"),
        pytest.param(
            "gzip", gzip.compress(TEXT[:5]) + gzip.compress(TEXT[5:]), id="two members"
        ),
    ],
)
def test_what_was_compressed_comes_back(encoding, body):
    assert decompress(body, encoding, len(TEXT)) == TEXT
    assert decompress(b"", encoding, 5) == b""


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_no_more_is_decompressed_than_is_wanted(compress):
    encoding = "gzip" if compress is gzip.compress else "deflate"

    content = decompress(compress(b" " * 10_000_000), encoding, 100_000)

    assert 100_000 < len(content) < 200_000


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_what_is_longer_by_a_byte_comes_out_longer(compress):
    encoding = "gzip" if compress is gzip.compress else "deflate"
    # As much as is read at a time, so that it might end there.
    most = 2**16

    assert len(decompress(compress(b"a" * most), encoding, most)) == most
    assert len(decompress(compress(b"a" * (most + 1)), encoding, most)) > most


@pytest.mark.parametrize(("encoding", "body"), WHOLE)
def test_a_part_or_another_content_is_spoilt(encoding, body):
    parts = [body[:length] for length in range(1, len(body))]
    for spoilt in [*parts, b"no" + body, body[:-2] + b"no"]:
        with pytest.raises(ValueError, match=f"it is no whole {encoding}"):
            decompress(spoilt, encoding, 100)

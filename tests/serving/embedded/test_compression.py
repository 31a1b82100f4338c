"""Compressed bodies: whole ones, spoilt ones, and those of too many bytes."""

import gzip
import zlib

import pytest

from serving.embedded.compression import decompress

TEXT = b'{"inputs": [1.0]}'
WHOLE = [("gzip", gzip.compress(TEXT)), ("deflate", zlib.compress(TEXT))]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        *WHOLE,
        # Without a header, and in two members.
        ("deflate", zlib.compress(TEXT, wbits=-15)),
        ("gzip", gzip.compress(TEXT[:5]) + gzip.compress(TEXT[5:])),
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


@pytest.mark.parametrize(("encoding", "body"), WHOLE)
def test_a_part_or_another_content_is_spoilt(encoding, body):
    parts = [body[:length] for length in range(1, len(body))]
    for spoilt in [*parts, b"no" + body, body[:-2] + b"no"]:
        with pytest.raises(ValueError, match=f"it is no whole {encoding}"):
            decompress(spoilt, encoding, 100)

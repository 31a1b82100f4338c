"""Bodies of requests that are compressed."""

from __future__ import annotations

import gzip
import io
import zlib

#: Encodings that are known; a body in another one is taken as it is.
ENCODINGS = ("gzip", "deflate")

# Bytes that are read at a time.
_PIECE = 2**16


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """Decompresses a body.

    Args:
        body: What came; nothing stands for nothing.
        encoding: One of `ENCODINGS`.
        most: Bytes that are wanted.

    Returns:
        What was compressed; if it is longer than `most`, a part that is longer, too.

    Raises:
        ValueError: It is spoilt, or has no end.
    """
    if not body:
        return body
    try:
        if encoding == "gzip":
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                return _read(file, most)
        # Some clients leave out the header, whose lower half is 8.
        has_header = body[0] & 0xF == zlib.DEFLATED
        stream = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        content = stream.decompress(body, most + 1)
        if not stream.eof and len(content) <= most:
            raise EOFError
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"it is no whole {encoding}") from error
    return content


def _read(file: gzip.GzipFile, most: int) -> bytes:
    # Asked for all at once, it would take the memory of the longest body.
    content = bytearray()
    while len(content) <= most and (piece := file.read(_PIECE)):
        content += piece
    return bytes(content)

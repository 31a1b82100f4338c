"""Finds the quote in a CSV file that makes one cell of many rows."""

from __future__ import annotations

import re

import pyarrow as pa

_MAX_TEXT = 80

_CLOSED = "every quoted cell closed"
_CLOSE = "close it, or write a quote within a cell twice, and the cell in quotes"
_TWICE = "quotes within a cell written twice"

# What needs no look: text without quotes, quotes within unquoted cells (`6" pizza`),
# quoted cells, and on one line also those that go on behind their quotes (`"6" pizza`),
# unless a backslash was to escape these.
_SOUND = re.compile(
    rb'(?:[^"]++'
    rb'|(?<![,\r\n])"'
    rb'|"(?:[^"]++|"")*+"(?=[,\r\n])'
    rb'|"(?:[^"\r\n]++|"")*+(?<!\\)"[^,\r\n]*+(?=[,\r\n])'
    rb")*+"
)
# A quoted cell of several lines that goes on behind its quotes.
_GOES_ON = re.compile(rb'"(?:[^"\r\n]++|"")*+[\r\n](?:[^"]++|"")*+"(?=[^",\r\n])')

# A quoted cell that goes on behind a quote with a backslash: Spark and MySQL write so.
_ESCAPED = re.compile(rb'"(?:[^"]++|"")*+(?<=\\)"(?=[^",\r\n])')


class QuoteCheck:
    """A file that looks at the quotes in what is read from it.

    A quote that opens a cell and was never meant to takes all that follows into the
    cell, to the next quote or the end of the file. Parsers say nothing: a cell may have
    line breaks. But none ends with the file while it is open, and none of several lines
    goes on behind its closing quote, as it does where that was to open another cell.
    Nor does one go on behind a backslash and a quote, where parsers see its end.

    Args:
        file: The file, from its beginning.

    Attributes:
        problem: What was expected and what was found first; None if all is well so far.
    """

    def __init__(self, file: pa.NativeFile) -> None:
        self.problem: str | None = None
        self._file = file
        # From the start of a cell that hasn't ended yet; a line starts one.
        self._rest = b"\n"
        self._line = 0

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return bool(self._file.closed)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def read(self, size: int) -> bytes:
        """Reads on.

        Args:
            size: Most bytes to read.

        Returns:
            The bytes; none at the end.
        """
        data: bytes = self._file.read(size)
        if self.problem is None:
            self._look(data)
        return data

    def open_since(self, size: int) -> int | None:
        """The line where the quoted cell begins that what was read ends within.

        Args:
            size: Least bytes of the cell so far.

        Returns:
            None if there is no such cell.
        """
        if len(self._rest) <= size:
            return None
        return self._line + self._rest.startswith(b"\n")

    def _look(self, data: bytes) -> None:
        text = self._rest + (data or b"\n")
        sound = _SOUND.match(text)
        end = sound.end() if sound else 0
        self._line += text.count(b"\n", 0, end)
        cell = text[end:]
        if _ESCAPED.match(cell):
            self._tell(_TWICE, "them behind a backslash", cell, "write them twice")
        elif cell and not data:
            self._tell(_CLOSED, "one that the file doesn't close", cell, _CLOSE)
        elif _GOES_ON.match(cell):
            what = "one of several lines with text behind its quotes"
            self._tell(_CLOSED, what, cell, _CLOSE)
        # What comes before a quote tells whether that opens a cell.
        self._rest = text[end - 1 :]
        self._line -= self._rest.startswith(b"\n")

    def _tell(self, expected: str, found: str, cell: bytes, advice: str) -> None:
        start = cell.splitlines()[0][:_MAX_TEXT].decode(errors="replace")
        self.problem = (
            f"expected {expected}, found {found}, in line {self._line}: {start!r};"
            f" {advice}"
        )

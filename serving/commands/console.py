"""The console that shows what commands print as the text that it is."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from serving.commands.terminal import printable


class PlainConsole(Console):
    """Takes no text for markup, and keeps its control characters off the terminal.

    Rows, files and servers say what scenarios, paths and errors are called. What is to
    have a style is a `rich.text.Text`.

    Args:
        file: Where to.
    """

    def __init__(self, file: IO[str]) -> None:
        super().__init__(
            file=file, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    def on_broken_pipe(self) -> None:
        """Says no more once nobody reads; what the command does goes on."""
        self.quiet = True
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Renders a renderable, the texts in it by themselves."""
        if isinstance(renderable, str):
            renderable = printable(renderable)
        elif isinstance(renderable, Text):
            # The same number of characters, so that styles keep their places.
            plain = printable(renderable.plain)
            renderable = renderable.copy()
            renderable.plain = plain
        return super().render(renderable, options)

"""The look of tables on the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table


def plain_table(title: str) -> Table:
    """Returns an empty table with a title and no frame.

    Args:
        title: What is above it.
    """
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )

"""The look of tables on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich import box
from rich.table import Table
from rich.text import Text


def plain_table(
    title: str,
    columns: Sequence[str],
    *,
    numeric: Collection[str] = (),
    whole: Collection[str] = (),
) -> Table:
    """Returns an empty table with a title and no frame.

    Where it is too wide, cells take more lines, so that no figure is cut off. On a
    terminal of fewer than 80 columns there may be no room for some.

    Args:
        title: What is above it.
        columns: Their headings.
        numeric: Columns of one number each: on the right, and in one line.
        whole: Others whose cells are short, and stay in one line.
    """
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in columns:
        table.add_column(
            Text(name),
            justify="right" if name in numeric else "left",
            no_wrap=name in numeric or name in whole,
            overflow="fold",
        )
    return table

"""The command that tells what a data-set file may hold."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

import click

from serving.commands.terminal import notices_left_out, open_console


@click.command()
@click.argument("path", default="", metavar="[KEY]")
def keys(path: str) -> None:
    """Show the keys of a data-set file, with their meaning and defaults.

    KEY is a section, such as gates, a single key, such as gates.auc.min, or a model,
    such as model.midpg, with what it alone takes.
    """
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    with notices_left_out():
        from pipeline.spec_keys import spec_keys

    try:
        parts = spec_keys(path)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="KEY") from error
    console = open_console()
    for part in parts:
        heading = Text(part.path, style="bold")
        if part.form:
            heading.append(f"  {{{part.form}}}" if part.path else part.form)
        heading.append(f"  {part.about}" if part.path else part.about, "not bold")
        console.print(heading, soft_wrap=False)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column()
        for key in part.keys:
            required = "Required. " if key.required else ""
            table.add_row(key.path.rpartition(".")[2], required + key.meaning)
        console.print(Padding(table, (0, 0, 1, 2)), soft_wrap=False)

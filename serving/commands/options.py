"""Arguments and options that commands have in common, and their types."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(dir_okay=False, path_type=Path)
"""The type of an option that names a file."""

FOLDER = click.Path(file_okay=False, path_type=Path)
"""The type of an option that names a folder."""

spec_argument = click.argument("spec_file", metavar="SPEC.yaml", type=FILE)

model_option = click.option(
    "--model_name", help="Name of the model. Default: the data set's name."
)

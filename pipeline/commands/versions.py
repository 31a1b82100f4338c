"""The commands that show versions, and move labels from one to another."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.session import (
    Session,
    as_json_option,
    config_option,
    root_option,
    session,
)
from serving.commands.connection import client_tls, connection_options
from serving.commands.options import model_option, spec_argument

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.paths import RunPaths
    from pipeline.versions import Versions
    from serving.rollout import Move, Rollout

_timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds that the version may take to load.",
)


def _server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return connection_options(config_option(command))


def _rollout_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (root_option, _timeout_option, model_option, _server_options):
        command = option(command)
    return command


@click.command()
@spec_argument
@click.argument("version", type=click.IntRange(1), required=False)
@click.option("--label", default="stable", show_default=True)
@_rollout_options
def promote(spec_file: Path, version: int | None, label: str, **options: Any) -> None:
    """Give a label to a version: by default stable, to the newest that was pushed.

    One that was rolled back must be named.

    The version is loaded first, so that no request is lost. The one that was stable
    becomes previous, and stays loaded, and its other labels go along; versions without
    a label are unloaded. The server's model configuration file is rewritten; comments
    below its first lines are lost.
    """
    with _rollout(spec_file, **options) as (opened, rollout):
        from pipeline.rollbacks import newest_version
        from serving.rollout import STABLE

        if version is None:
            version = newest_version(opened.paths, rollout.labels().get(STABLE))
        with opened.console.status(f"loading version {version}"):
            move = rollout.promote(version, label)
        _tell(opened, move)


@click.command()
@spec_argument
@click.option("--label", default="stable", show_default=True)
@_rollout_options
def rollback(spec_file: Path, label: str, **options: Any) -> None:
    """Take a label from a version: by default stable, which the previous one gets back.

    Any other label, such as that of a canary, goes to the version that is stable. The
    version that had it is unloaded, and loses its other labels, too.
    """
    with _rollout(spec_file, **options) as (opened, rollout):
        from pipeline.rollbacks import note_rollback

        with opened.console.status("rolling back"):
            move = rollout.rollback(label)
        is_known = True
        if move.before is not None and move.before not in move.labels.values():
            is_known = note_rollback(opened.paths, move.before)
        _tell(opened, move)
        if not is_known:
            opened.console.print(
                f"note: version {move.before} isn't in {opened.paths.serving}, so what"
                " it was isn't known: a run may push the same model anew"
            )


@click.command()
@spec_argument
@_server_options
@model_option
@root_option
@as_json_option
def status(
    spec_file: Path,
    server: str,
    config: Path | None,
    model_name: str | None,
    root: Path | None,
    as_json: bool,
    **tls: Any,
) -> None:
    """Show the versions: on disk, in the server, with their labels and figures."""
    from rich.text import Text

    with session(spec_file, root, silent=as_json) as opened:
        with opened.console.status("loading TFX"):
            from pipeline.versions import list_versions
            from serving.control import ServerControl

        with (
            opened.console.status(Text(f"asking {server}")),
            ServerControl(server, timeout=5, tls=client_tls(**tls)) as control,
        ):
            found = list_versions(
                model_name or opened.spec.name,
                opened.paths,
                config or opened.paths.models_config,
                control,
            )
        if as_json:
            click.echo(found.model_dump_json(indent=2))
        opened.console.print(_table(found), soft_wrap=False)
        for note in found.notes:
            opened.console.print(f"note: {note}")


@contextmanager
def _rollout(
    spec_file: Path,
    root: Path | None,
    timeout: float,
    model_name: str | None,
    server: str,
    config: Path | None,
    **tls: Any,
) -> Iterator[tuple[Session, Rollout]]:
    with session(spec_file, root) as opened:
        with opened.console.status("loading TensorFlow"):
            from serving.control import ServerControl
            from serving.model_config_file import ModelConfigFile
            from serving.rollout import Rollout

        model = model_name or opened.spec.name
        file = ModelConfigFile(_config_file(config, opened.paths, model))
        with ServerControl(server, timeout=timeout, tls=client_tls(**tls)) as control:
            yield opened, Rollout(file, model, control, load_timeout=timeout)


def _config_file(config: Path | None, paths: RunPaths, model: str) -> Path:
    """The server's model configuration file.

    Args:
        config: Where it was said to be.
        paths: Where the data set's runs keep their files.
        model: Name of the model.

    Raises:
        FileNotFoundError: It isn't there; the message says what to put into it.
    """
    path = config or paths.models_config
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: expected the model configuration file of the server, found none."
            " A server that has labels is started with --model_config_file; write, for"
            " example:\n"
            f'model_config_list {{\n  config {{\n    name: "{model}"\n'
            f'    base_path: "{paths.serving}"\n'
            '    model_platform: "tensorflow"\n  }\n}'
        )
    return path


def _tell(opened: Session, move: Move) -> None:
    before = "no version had it" if move.before is None else f"was {move.before}"
    opened.console.print(f"{move.label}: version {move.after} ({before})")
    for label, version in sorted(move.labels.items()):
        if label != move.label:
            opened.console.print(f"{label}: version {version}")
    for note in move.notes:
        opened.console.print(f"note: {note}")


def _table(found: Versions) -> Table:
    from rich.text import Text

    from serving.commands.tables import plain_table

    table = plain_table(
        f"Model {found.model}; figures of the test split, with intervals",
        ["version", "labels", "on disk", "server", "AUC", "log loss", "calibration"],
        whole=["version", "on disk"],
    )
    for one in found.versions:
        figures = one.figures
        measured = (
            [figures.auc, figures.log_loss, figures.calibration]
            if figures is not None
            else ["", "", ""]
        )
        state = one.state or ("" if found.reachable else "?")
        table.add_row(
            str(one.version),
            Text(", ".join(one.labels)),
            "yes" if one.on_disk else "no",
            Text(state, "green" if state == "AVAILABLE" else ""),
            *map(str, measured),
        )
        if one.error:
            table.add_row("", "", "", Text(one.error.splitlines()[0], "red"))
    return table

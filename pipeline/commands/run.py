"""The commands that train, compare and push a model."""

# Heavy imports stay inside, so that help and wrong options answer at once.

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.data import DATASETS
from pipeline.commands.session import (
    REFUSED,
    Session,
    config_option,
    long_session,
    root_option,
)
from serving.commands.options import model_option, spec_argument

if TYPE_CHECKING:
    from pipeline.run import RunOutcome

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

cache_option = click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    help="Take components whose inputs haven't changed from the last run.",
)


@click.command()
@spec_argument
@config_option
@model_option
@root_option
@cache_option
def run(
    spec_file: Path,
    config: Path | None,
    model_name: str | None,
    root: Path | None,
    cache: bool,
) -> None:
    """Train on a data set, compare, and push the model if it passes the gates.

    The model in production, which it is compared with, is the version that is stable in
    the server's model configuration file, or else the one that was pushed last.
    """
    with long_session(spec_file, root) as session:
        if config is not None and not config.exists():
            raise FileNotFoundError(
                f"--config: expected the server's model configuration file, found none:"
                f" {config}"
            )
        outcome = _run(session, cache, config, model_name)
    sys.exit(REFUSED if outcome.refusals else 0)


@click.command()
@click.option(
    "--data",
    "name",
    type=DATASETS,
    default="movielens-100k",
    show_default=True,
    help="A data set of the repository's examples.",
)
@root_option
@cache_option
def demo(name: str, root: Path | None, cache: bool) -> None:
    """Real rows to answers over gRPC: fetch, train, compare, push, serve, ask.

    Runs in a copy of the repository, whose examples it needs.
    """
    spec_file = _EXAMPLES / f"{name}.yaml"
    if not spec_file.exists():
        raise click.ClickException(
            f"{_EXAMPLES}: expected the repository's examples, found no {name}.yaml;"
            " they aren't installed with the package: call `make demo` in a copy of the"
            " repository, or `midpg run` with a data-set file of your own"
        )
    with long_session(spec_file, root) as session:
        from pipeline import datasets
        from pipeline.serving_check import check_serving

        path = Path(session.spec.data.path)
        if not path.exists():
            rows = datasets.fetch(name, path)
            session.console.print(
                f"{rows:,} rows in {path} ({datasets.DATASETS[name].licence})"
            )
        outcome = _run(session, cache)
        if not outcome.refusals:
            check_serving(session.spec, session.paths, session.console)
            session.console.print(f"\nartifacts: {session.paths.root}")
            session.console.print(
                f"serve it:  midpg serve --port=8500 --model_name={session.spec.name}"
                f" --model_base_path={shlex.quote(str(session.paths.serving))}"
            )
    sys.exit(REFUSED if outcome.refusals else 0)


def _run(
    session: Session,
    cache: bool,
    config: Path | None = None,
    model_name: str | None = None,
) -> RunOutcome:
    from rich.text import Text

    with session.console.status("loading TFX"):
        from pipeline.evaluation.table import figures_table, judged_line
        from pipeline.report_page import write_page
        from pipeline.run import run_pipeline
        from pipeline.training_run import EVENTS

    outcome = run_pipeline(
        session.spec,
        session.paths,
        enable_cache=cache,
        models_file=config,
        model_name=model_name,
    )
    print_ = session.console.print
    print_()
    table = figures_table(outcome.report, session.spec.gates.confidence)
    print_(table, soft_wrap=False)
    print_(judged_line(outcome.report))
    for note in outcome.notes:
        print_(Text.assemble(("note: ", "yellow"), note))
    for refusal in outcome.refusals:
        print_(Text.assemble(("refused: ", "red"), refusal))
    if outcome.pushed:
        pushed = f"{session.paths.serving}/{outcome.version}"
        print_(f"pushed:    {pushed}")
        if outcome.uncompared:
            print_(
                Text.assemble(
                    ("warning:", "yellow"),
                    "   it was pushed without a comparison with the model in"
                    " production, for the reason noted above",
                )
            )
    elif outcome.version is not None:
        print_(f"not pushed: version {outcome.version} is still the newest")
    else:
        print_("not pushed: there is no version to serve")
    page = session.paths.reports / session.log_file.with_suffix(".html").name
    write_page(outcome, session.spec, page)
    print_(f"trained:   {outcome.trained}")
    curves = outcome.trained / EVENTS
    if curves.exists():
        logdir = shlex.quote(str(curves))
        print_(f"curves:    tensorboard --logdir {logdir}")
    print_(f"report:    {page}")
    return outcome

"""The command `midpg`."""

# Heavy imports stay inside the commands, so that help and wrong options answer at once.

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

try:
    import click
except ModuleNotFoundError:
    sys.exit("midpg: this command needs more than the core: pip install .[pipeline]")

from serving.cli import serve
from serving.commands.predict import predict

if TYPE_CHECKING:
    from rich.console import Console

    from midpg_tf.spec import DatasetSpec
    from pipeline.run import Outcome

REFUSED = 3
"""Exit code of a run whose model was refused; 1 is for errors, 2 for wrong usage."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="midpg_tf")
def main() -> None:
    """One recommender for many scenarios: train, prove, push and serve it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


spec_argument = click.argument(
    "spec_file", metavar="SPEC.yaml", type=click.Path(dir_okay=False, path_type=Path)
)
root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs keep their files. Default: .midpg beside the data-set file.",
)
cache_option = click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    help="Take components whose inputs haven't changed from the last run.",
)


@main.command()
@spec_argument
@root_option
@cache_option
def run(spec_file: Path, root: Path | None, cache: bool) -> None:
    """Train on a data set, compare, and push the model if it passes the gates."""
    with _session(spec_file, root) as session:
        outcome = _run(session, cache)
    sys.exit(0 if _passed(outcome) else REFUSED)


@main.command()
@click.option(
    "--data",
    "name",
    type=click.Choice(["movielens-100k", "obd"]),
    default="movielens-100k",
    show_default=True,
    help="A data set of the repository's examples.",
)
@root_option
@cache_option
def demo(name: str, root: Path | None, cache: bool) -> None:
    """Real rows to answers over gRPC: fetch, train, compare, push, serve, ask."""
    spec_file = Path(__file__).resolve().parents[1] / "examples" / f"{name}.yaml"
    with _session(spec_file, root) as session:
        from pipeline import datasets
        from pipeline.serving_check import check_serving

        path = Path(session.spec.data.path)
        if not path.exists():
            rows = datasets.fetch(name, path)
            session.console.print(
                f"{rows:,} rows in {path} ({datasets.DATASETS[name].licence})"
            )
        outcome = _run(session, cache)
        if _passed(outcome):
            check_serving(session.spec, session.paths, session.console)
            session.console.print(f"\nartifacts: {session.paths.root}")
            session.console.print(
                f"serve it:  midpg serve --port=8500 --model_name={session.spec.name}"
                f" --model_base_path={session.paths.serving}"
            )
    sys.exit(0 if _passed(outcome) else REFUSED)


@main.group()
def data() -> None:
    """Data sets for the examples."""


@data.command("fetch")
@click.argument("name", type=click.Choice(["movielens-100k", "obd"]))
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Folder for the CSV.",
)
def fetch_data(name: str, folder: Path) -> None:
    """Download a data set and write it as CSV."""
    from pipeline import datasets

    path = folder / f"{name}.csv"
    with _errors_told():
        rows = datasets.fetch(name, path)
    click.echo(f"{rows:,} rows in {path} ({datasets.DATASETS[name].licence})")


@data.command("movielens-1m")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("data/movielens-1m.csv"),
    show_default=True,
    help="The CSV.",
)
def movielens_1m(folder: Path, output: Path) -> None:
    """Write your own copy of MovieLens-1M, GroupLens' folder ml-1m, as CSV."""
    from pipeline import datasets

    with _errors_told():
        rows = datasets.movielens_1m(folder, output)
    click.echo(
        f"{rows:,} rows in {output} (GroupLens: research use, no redistribution)"
    )


@data.command("synth")
@click.option("--scenarios", type=click.IntRange(2, 256), default=16, show_default=True)
@click.option("--rows", type=click.IntRange(1000), default=200_000, show_default=True)
@click.option(
    "--difference",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Strength of the scenarios' own parts against the shared one.",
)
@click.option(
    "--skew",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Rows of a scenario are proportional to rank^-skew; above 0, one has 1 %.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for rows.csv, synth.yaml and truth.json.",
)
def synth(
    scenarios: int, rows: int, difference: float, skew: float, seed: int, output: Path
) -> None:
    """Draw rows of many scenarios, of which the best possible figures are known."""
    with _errors_told():
        from pipeline.synth import Synthetic, write

        best = write(Synthetic(scenarios, rows, difference, skew, seed), output)
    click.echo(
        f"{rows:,} rows in {output / 'rows.csv'}; at best, test AUC"
        f" {best['test'][0].auc:.4f}, log loss {best['test'][0].logloss:.4f}"
    )
    click.echo(f"{output / 'synth.yaml'} describes them")


@main.group()
def benchmark() -> None:
    """Which model is worth its cost."""


def _list(type_: type) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """Reads values parted by commas, each of them once."""

    def read(
        context: click.Context, parameter: click.Parameter, text: str
    ) -> list[Any]:
        try:
            values = [type_(part.strip()) for part in text.split(",")]
        except ValueError:
            raise click.BadParameter(
                f"expected integers parted by commas, found {text!r}"
            ) from None
        return list(dict.fromkeys(values))

    return read


@benchmark.command()
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The data-set file.",
)
@click.option(
    "--models",
    default="mlp,midpg",
    show_default=True,
    callback=_list(str),
    help="Models to compare.",
)
@click.option(
    "--baseline",
    help="The model that others are compared to. Default: the first of --models; in an"
    " ablation, midpg.",
)
@click.option(
    "--seeds",
    default="2022,2023,2024",
    show_default=True,
    callback=_list(int),
    help="Each model is trained with each; they also draw a split by hash.",
)
@click.option(
    "--budget",
    type=click.Choice(["widths", "parameters"]),
    default="widths",
    show_default=True,
    help="What models have in common: hidden widths, or the number of parameters"
    " behind the embeddings.",
)
@click.option("--ablation", is_flag=True, help="Compare variants of midpg, too.")
@click.option(
    "--split",
    type=click.Choice(["eval", "test"]),
    default="test",
    show_default=True,
    help="Where models are compared. Choose settings on eval: test is for the outcome.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where report and trainings go; finished trainings there are taken. Default:"
    " benchmark in the data set's folder of runs.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file for the records.",
)
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="The truth.json of synthetic rows, to compare with what is possible.",
)
@root_option
def quality(
    spec_file: Path,
    models: list[str],
    baseline: str | None,
    seeds: list[int],
    budget: Literal["widths", "parameters"],
    ablation: bool,
    split: Literal["eval", "test"],
    output: Path | None,
    json_file: Path | None,
    truth: Path | None,
    root: Path | None,
) -> None:
    """Compare models on the same splits with the same settings, over seeds."""
    with _session(spec_file, root) as session:
        with session.console.status("loading TensorFlow Transform"):
            import tfx  # noqa: F401  provides what TFDV lacks

            from pipeline.benchmark.command import Options, run_quality

        folder = session.paths.root / "benchmark"
        options = Options(
            models=models,
            baseline=baseline,
            seeds=seeds,
            budget=budget,
            ablation=ablation,
            split=split,
            output=output or folder,
            json=json_file,
            truth=truth,
            cache=folder / "data",
        )
        run_quality(session.spec, options, session.console)


@benchmark.command()
@click.option(
    "--models",
    default="midpg",
    show_default=True,
    callback=_list(str),
    help="Models to time beside the MLP.",
)
@click.option(
    "--scenarios", default="4,16,64,256", show_default=True, callback=_list(int)
)
@click.option(
    "--skews",
    default="0,1",
    show_default=True,
    callback=_list(float),
    help="Rows of a scenario are proportional to rank^-skew; 0 is uniform.",
)
@click.option("--batch", type=click.IntRange(1), default=4096, show_default=True)
@click.option("--candidates", type=click.IntRange(1), default=200, show_default=True)
@click.option("--hidden", default="256,128,64", show_default=True, callback=_list(int))
@click.option("--repeats", type=click.IntRange(1), default=30, show_default=True)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file for the records.",
)
def speed(json_file: Path | None, **options: Any) -> None:
    """Time training steps and inference against an equally wide MLP."""
    from rich.console import Console

    with _errors_told():
        from pipeline.benchmark.report import write_json
        from pipeline.benchmark.speed import measure, speed_table

        console = Console()
        found = list(measure(console=console, **options))
        console.print(speed_table(found).rich())
        if json_file:
            write_json([one._asdict() for one in found], json_file)


main.add_command(serve)
main.add_command(predict)


class Session:
    """A data-set file in use.

    Attributes:
        spec: Its content.
        paths: Where its runs keep their files.
        console: For messages to the person.
    """

    def __init__(self, spec_file: Path, root: Path, console: Console) -> None:
        from midpg_tf.spec import DatasetSpec
        from pipeline.paths import RunPaths

        self.spec: DatasetSpec = DatasetSpec.load(spec_file)
        self.paths = RunPaths(root / self.spec.name)
        self.console = console


@contextmanager
def _session(spec_file: Path, root: Path | None) -> Iterator[Session]:
    """Loads the file, with libraries' messages kept off the terminal."""
    from pipeline.console import quiet_run
    from pipeline.paths import home

    started = time.monotonic()
    root = root.resolve() if root else home(spec_file)
    log_file = root / "logs" / f"{spec_file.stem}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with quiet_run(log_file) as console, _errors_told(log_file):
        with console.status("loading TensorFlow"):
            session = Session(spec_file, root, console)
        yield session
        console.print(f"log:       {log_file}")
        console.print(f"took:      {time.monotonic() - started:.0f} s")


@contextmanager
def _errors_told(log_file: Path | None = None) -> Iterator[None]:
    """Ends the command with a message instead of a traceback, which goes to the log."""
    import logging

    try:
        yield
    except Exception as error:
        logging.getLogger("pipeline").exception("the command failed")
        # A bare KeyError, for one, says nothing but the key.
        known = isinstance(error, ValueError | RuntimeError | OSError) or (
            type(error) is LookupError
        )
        kind = "" if known else f"{type(error).__name__}: "
        log = f"\nlog: {log_file}" if log_file else ""
        raise click.ClickException(f"{kind}{error}{log}") from error


def _run(session: Session, cache: bool) -> Outcome:
    from rich.text import Text

    with session.console.status("loading TFX"):
        from pipeline.evaluation.table import figures_table
        from pipeline.run import run

    outcome = run(session.spec, session.paths, enable_cache=cache)
    print_ = session.console.print
    print_()
    table = figures_table(outcome.report, session.spec.gates.confidence)
    print_(table, soft_wrap=False)
    for note in outcome.report.notes:
        print_(f"note: {note}")
    for refusal in outcome.report.refusals:
        print_(Text.assemble(("refused: ", "red"), str(refusal)))
    if not outcome.servable:
        print_("[red]refused:[/red] the model can't answer in the serving stack")
    if outcome.pushed:
        print_(f"pushed:    {session.paths.serving}/{outcome.version}")
    elif outcome.version is not None:
        print_(f"unchanged: version {outcome.version} stays in production")
    else:
        print_("nothing was pushed, and there is no model in production")
    return outcome


def _passed(outcome: Outcome) -> bool:
    return outcome.report.blessed and outcome.servable

"""Compares a server's request logs with the data that its model was trained on."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from rich.console import Console

from midpg_tf.spec import OVERALL, DatasetSpec, Drift
from pipeline.components.schema_gen import STATISTICS_FILE
from pipeline.paths import RunPaths
from pipeline.results import Results
from pipeline.skew.comparison import SkewReport, compare
from pipeline.skew.logs import Answered, LogError, extract, find_logs
from pipeline.skew.statistics import comparable, read_edges, statistics

_TRAIN, _TEST = "Split-train", "Split-test"


def check_skew(
    spec: DatasetSpec,
    paths: RunPaths,
    logs: str,
    console: Console,
    *,
    model: str,
    bounds: Drift,
    min_requests: int,
    version: int | None = None,
) -> SkewReport:
    """Reads logs, and compares them with the training data by scenario.

    The rows are those that one version answered, and the training data is its own: by
    default the version which answered the most, out of those that a run here has
    pushed. A note says what others answered, which is left out, as are features that
    the version was trained on and that the description lacks or has as another kind.

    Args:
        spec: The data-set description.
        paths: Where its runs keep their files.
        logs: A file, a pattern of files, or the `filename_prefix` of a server.
        console: For progress.
        model: Name of the model in the server.
        bounds: The distances that are allowed, apart from chance.
        min_requests: Effective number of requests in the logs that a scenario, and the
            whole, needs.
        version: The version.

    Raises:
        FileNotFoundError: There was no run, or its files have gone.
        LogError: There are no logs, or too few requests in them.
        LookupError: No run has pushed a model, or not the version, or that has
            answered nothing.
        ValueError: A field of the scenario was of another kind in training.
    """
    results = Results(paths)
    with tempfile.TemporaryDirectory() as folder:
        with console.status("reading logs") as status:
            found = extract(
                find_logs(logs),
                spec,
                model,
                Path(folder),
                lambda count: status.update(f"reading logs: {count:,} rows"),
            )
        pushed = results.pushed()
        chosen, trained, notes = _choose(pushed, found.versions, version)
        notes = [*found.notes, *notes]
        answered = found.versions[chosen]
        requests = answered.requests[OVERALL]
        if requests < min_requests:
            problem = (
                f"{logs}: expected at least {min_requests:,} requests that version"
                f" {chosen} answered, found an effective number of"
                f" {math.floor(requests):,}; log more of them, or lower --min-requests"
            )
            raise LogError("\n".join([problem, *notes]))
        origin = pushed[trained]
        train, test = origin.examples / _TRAIN, origin.examples / _TEST
        trained_on = origin.statistics / _TRAIN / STATISTICS_FILE
        for path in (train, test, trained_on):
            if not path.exists():
                raise FileNotFoundError(
                    f"{path}: expected what version {trained} was trained on, found"
                    " nothing"
                )
        spec, left_out = comparable(trained_on, spec)
        notes.extend(left_out)
        edges = read_edges(trained_on, spec)
        with console.status("statistics of the training data"):
            training = statistics(str(train / "*"), spec, edges)
            held_out = statistics(str(test / "*"), spec, edges)
        with console.status(f"statistics of {answered.rows:,} rows from the logs"):
            production = statistics(str(answered.file), spec, edges)
    report = compare(
        spec,
        training,
        held_out,
        production,
        answered.requests,
        bounds=bounds,
        min_requests=min_requests,
    )
    return report.model_copy(
        update={"version": chosen, "notes": [*notes, *report.notes]}
    )


def _choose(
    pushed: Collection[int], answered: Mapping[int, Answered], version: int | None
) -> tuple[int, int, list[str]]:
    """The version whose rows are compared, that whose training data, and notes.

    Args:
        pushed: The versions that runs here have pushed.
        answered: What each version answered, that of the most rows first.
        version: The one that was asked for.
    """
    if not pushed:
        raise LookupError("expected a model that a run has pushed, found none")
    if version is not None:
        for what, versions in (
            ("a run here has pushed", pushed),
            ("has answered requests in the logs", answered),
        ):
            if version not in versions:
                raise LookupError(
                    f"--version: expected a version that {what}, found {version}, which"
                    f" is none of {', '.join(map(str, sorted(versions)))}"
                )
    chosen = version or next((v for v in answered if v in pushed), next(iter(answered)))
    notes = []
    others = [
        f"{rows:,} of version {other}"
        for other, (_, rows, _) in answered.items()
        if other != chosen
    ]
    if others:
        notes.append(
            f"compared are the rows that version {chosen} answered; left out:"
            f" {', '.join(others)}; --version chooses another"
        )
    if chosen in pushed:
        return chosen, chosen, notes
    trained = max(pushed)
    notes.append(
        f"no run here has pushed version {chosen}, which answered; compared with the"
        f" training data of version {trained}"
    )
    return chosen, trained, notes

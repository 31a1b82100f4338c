"""Compares a server's request logs with the data that its model was trained on."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console

from midpg_tf.spec import OVERALL, DatasetSpec, Drift
from pipeline.components.schema_gen import STATISTICS_FILE
from pipeline.paths import RunPaths
from pipeline.results import Pushed, Results
from pipeline.skew.comparison import SkewReport, compare
from pipeline.skew.logs import LogError, extract, find_logs
from pipeline.skew.statistics import read_edges, statistics

_TRAIN = "Split-train"


def check_skew(
    spec: DatasetSpec,
    paths: RunPaths,
    logs: str,
    console: Console,
    *,
    model: str,
    bounds: Drift,
    min_requests: int,
) -> SkewReport:
    """Reads logs, and compares them with the training data by scenario.

    The training data is that of the version which answered most of the rows, out of
    those that a run here has pushed. A note says so if others answered too.

    Args:
        spec: The data-set description.
        paths: Where its runs keep their files.
        logs: A file, a pattern of files, or the `filename_prefix` of a server.
        console: For progress.
        model: Name of the model in the server.
        bounds: The distances that are allowed, apart from chance.
        min_requests: Requests in the logs that a scenario, and the whole, needs.

    Raises:
        FileNotFoundError: There was no run, or its files have gone.
        LogError: There are no logs, or too few requests in them.
        LookupError: No run has pushed a model.
    """
    results = Results(paths)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.gz"
        with console.status("reading logs") as status:
            found = extract(
                find_logs(logs),
                spec,
                model,
                rows,
                lambda count: status.update(f"reading logs: {count:,} rows"),
            )
        requests = found.requests[OVERALL]
        if requests < min_requests:
            notes = "".join(f"\n{note}" for note in found.notes)
            raise LogError(
                f"{logs}: expected at least {min_requests:,} requests, found"
                f" {requests:,}; log more of them, or lower --min-requests{notes}"
            )
        version, origin, notes_ = _origin(results, found.versions)
        train = origin.examples / _TRAIN
        edges_file = origin.statistics / _TRAIN / STATISTICS_FILE
        for path in (train, edges_file):
            if not path.exists():
                raise FileNotFoundError(
                    f"{path}: expected what version {version} was trained on, found"
                    " nothing"
                )
        edges = read_edges(edges_file, spec)
        with console.status("statistics of the training data"):
            training = statistics(str(train / "*"), spec, edges)
        with console.status(f"statistics of {found.rows:,} rows from the logs"):
            production = statistics(str(rows), spec, edges)
    report = compare(
        spec,
        training,
        production,
        found.requests,
        bounds=bounds,
        min_requests=min_requests,
    )
    return report.model_copy(update={"notes": [*found.notes, *notes_, *report.notes]})


def _origin(results: Results, versions: Counter[int]) -> tuple[int, Pushed, list[str]]:
    """The version whose training data is compared with, and where that is."""
    pushed = results.pushed()
    if not pushed:
        raise LookupError("expected a model that a run has pushed, found none")
    answered = [version for version, _ in versions.most_common()]
    version = next((one for one in answered if one in pushed), max(pushed))
    notes = []
    if len(answered) > 1:
        counts = ", ".join(
            f"{one} ({rows:,} rows)" for one, rows in versions.most_common()
        )
        notes.append(
            f"several versions answered: {counts}; all rows are compared with the"
            f" training data of version {version}"
        )
    if version != answered[0]:
        notes.append(
            f"no run here has pushed version {answered[0]}, which answered; compared"
            f" with the training data of version {version}"
        )
    return version, pushed[version], notes

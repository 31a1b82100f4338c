"""The measurements as tables: every line, the ratios, and what is asked of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.benchmark.report import Table
from pipeline.benchmark.serving.measure import MODELS, TRIVIAL, ServingRecord

_CANDIDATES = 100
_CLIENTS = 4


def serving_table(records: Sequence[ServingRecord]) -> Table:
    """The measurements, a row each."""
    return Table(
        "Served: latencies from when requests were due, at half of the capacity (ms)",
        (
            "protocol",
            "scenarios",
            "candidates",
            "clients",
            "model",
            "p50",
            "p95",
            "p99",
            "p99.9",
            "requests",
            "rows/s",
            "errors",
        ),
        [
            (
                one.protocol,
                str(one.scenarios),
                str(one.candidates),
                str(one.clients),
                one.model,
                _number(one.p50_ms),
                _number(one.p95_ms),
                _number(one.p99_ms),
                _number(one.p999_ms),
                f"{one.requests:,}",
                f"{one.rows_per_second:,.0f}",
                str(one.errors),
            )
            for one in records
        ],
    )


def ratios_table(records: Sequence[ServingRecord]) -> Table:
    """A row for each setting: MI-DPG by the MLP, and each served by in process."""
    rows = [
        (
            pair.midpg.protocol,
            str(pair.midpg.scenarios),
            str(pair.midpg.candidates),
            str(pair.midpg.clients),
            _number(ratio(pair.midpg.p50_ms, pair.mlp.p50_ms)),
            _number(ratio(pair.midpg.p99_ms, pair.mlp.p99_ms)),
            _number(ratio(pair.midpg.rows_per_second, pair.mlp.rows_per_second)),
            _share(served_share(pair.mlp)),
            _share(served_share(pair.midpg)),
        )
        for pair in _pairs(records)
    ]
    headings = (
        "protocol",
        "scenarios",
        "candidates",
        "clients",
        "p50",
        "p99",
        "rows/s",
        "mlp served",
        "midpg served",
    )
    title = "MI-DPG by MLP, and rows/s served by those of the SavedModel in process"
    return Table(title, headings, rows)


def criteria_table(records: Sequence[ServingRecord]) -> Table:
    """A row for each thing asked: median and worst over settings, which must do.

    Settings that weren't measured have no row.
    """
    found: dict[str, list[tuple[float | None, float, bool, str]]] = {}
    for pair in _pairs(records):
        if pair.midpg.candidates == _CANDIDATES:
            for name, of_midpg, of_mlp in (
                ("p50", pair.midpg.p50_ms, pair.mlp.p50_ms),
                ("p99", pair.midpg.p99_ms, pair.mlp.p99_ms),
            ):
                what = f"{name} of midpg by mlp's, {pair.midpg.protocol}"
                value = ratio(of_midpg, of_mlp)
                found.setdefault(what, []).append((value, 1.15, False, ""))
    for one in records:
        if one.model == TRIVIAL and one.protocol == "grpc":
            found["p50 of a trivial model, grpc"] = [(one.p50_ms, 1.5, False, " ms")]
        if one.candidates == _CANDIDATES and one.clients == _CLIENTS:
            what = f"rows/s of {one.model} by in process, {one.protocol}"
            found.setdefault(what, []).append((served_share(one), 0.7, True, ""))
    rows = [_criterion(what, values) for what, values in found.items()]
    title = (
        f"Asked, at {_CANDIDATES} candidates of one scenario; rows/s at {_CLIENTS}"
        " clients"
    )
    return Table(title, ("what", "median", "worst", "bound", "holds"), rows)


def ratio(value: float | None, by: float | None) -> float | None:
    """Divides; None if there is nothing to divide, or nothing to divide by."""
    return None if value is None or not by else value / by


def served_share(one: ServingRecord) -> float | None:
    """Rows per second, by those of the SavedModel in process."""
    return ratio(one.rows_per_second, one.in_process_rows_per_second)


class _Pair(NamedTuple):
    mlp: ServingRecord
    midpg: ServingRecord


def _pairs(records: Sequence[ServingRecord]) -> list[_Pair]:
    settings: dict[tuple[object, ...], dict[str, ServingRecord]] = {}
    for one in records:
        key = (one.protocol, one.scenarios, one.candidates, one.clients)
        settings.setdefault(key, {})[one.model] = one
    return [
        _Pair(*(models[name] for name in MODELS))
        for models in settings.values()
        if set(models) == set(MODELS)
    ]


def _criterion(
    what: str, values: Sequence[tuple[float | None, float, bool, str]]
) -> tuple[str, ...]:
    _, bound, at_least, unit = values[0]
    asked = f"{'>=' if at_least else '<='} {bound:g}{unit}"
    known = [value for value, *_ in values if value is not None]
    if len(known) < len(values):
        return what, "", "no answers", asked, "no"
    worst = min(known) if at_least else max(known)
    holds = worst >= bound if at_least else worst <= bound
    median = statistics.median(known)
    return (
        what,
        f"{median:.2f}{unit}",
        f"{worst:.2f}{unit}",
        asked,
        "yes" if holds else "no",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"

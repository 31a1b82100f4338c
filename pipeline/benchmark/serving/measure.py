"""Measures servers of both models side by side, and the models in this process."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from pipeline.benchmark.serving.cores import bound, split_cores
from pipeline.benchmark.serving.generator import Generator, Job, ProtocolName
from pipeline.benchmark.serving.in_process import InProcess
from pipeline.benchmark.serving.latency import Outcome, join, percentiles
from pipeline.benchmark.serving.load import arrivals
from pipeline.benchmark.serving.models import (
    export_model,
    export_trivial,
    write_transform_graph,
)
from pipeline.benchmark.serving.traffic import MODEL, Traffic, make_traffic
from serving.process import ServerProcess

MODELS = ("mlp", "midpg")
"""The measure first."""

TRIVIAL = "trivial"
"""A model that does nothing: the server's own time."""

SHARE = 0.5
"""Of the capacity: the rate at which latencies are measured."""

_ROUNDS = 4
_CLOSED = 1 / 3
"""Share of the time of a line that finds the capacity."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        scenarios: Numbers of scenarios.
        candidates: Numbers of rows in a request.
        clients: Numbers of clients.
        protocols: How requests are sent.
        seconds: Of load, for each line: a third in a closed loop, the rest in an open
            one.
        isolated: Whether the servers run each model in a process of its own.
        batching: Whether the servers put requests of several clients together, by the
            parameters that come with this package.
        server_cores: Number of cores of the servers and of the models in this process,
            the others being the generator's; None if they share all.
        hidden: Widths of the models' hidden layers.
    """

    scenarios: Sequence[int]
    candidates: Sequence[int]
    clients: Sequence[int]
    protocols: Sequence[ProtocolName]
    seconds: float
    isolated: bool
    batching: bool
    server_cores: int | None = None
    hidden: Sequence[int] = (256, 128, 64)


@dataclasses.dataclass(frozen=True)
class ServingRecord:
    """One line of the table.

    Attributes:
        model: `mlp`, `midpg`, or `trivial`.
        protocol: `grpc` or `rest`.
        scenarios: Number of scenarios of the model; 0 for the trivial one.
        candidates: Rows in a request, all of one scenario.
        clients: Number of clients, each with a connection of its own.
        isolated: Whether the server runs the model in a process of its own.
        batching: Whether the server puts requests of several clients together.
        server_cores: Number of cores of the server, and of the SavedModel in process,
            the others being the generator's; None if they share all.
        requests_per_second: Rate of the open loop, which the latencies are of.
        requests: Number of its requests that were answered.
        p50_ms: Median latency from when a request was due, of the open loop; None if
            none was answered.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        p999_ms: 99.9th percentile; of fewer than 1,000 requests, the largest.
        rows_per_second: Rows that are scored in a closed loop, at most speed.
        in_process_rows_per_second: The same by as many threads that call the SavedModel
            itself; None where it isn't measured.
        errors: Requests of both loops that failed or took longer than 10 s.
        first_error: The first one's message, empty if there is none.
    """

    model: str
    protocol: ProtocolName
    scenarios: int
    candidates: int
    clients: int
    isolated: bool
    batching: bool
    server_cores: int | None
    requests_per_second: float
    requests: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    rows_per_second: float
    in_process_rows_per_second: float | None
    errors: int
    first_error: str


@dataclasses.dataclass(frozen=True)
class _Contestant:
    """A model that is served."""

    name: str
    server: ServerProcess
    in_process: InProcess | None

    def target(self, protocol: ProtocolName) -> str:
        if protocol == "grpc":
            return self.server.target
        return f"http://{self.server.rest_target}/v1/models/{MODEL}:predict"


def measure(
    options: Options, folder: Path, console: Console
) -> Iterator[ServingRecord]:
    """Measures, line by line.

    Models of a pair are measured in turn, in slices, since a shared machine's speed
    changes in seconds; both get the same requests at the same times, at half of what
    the slower one can take.

    Args:
        options: What.
        folder: An empty folder for the exported models.
        console: For progress.

    Raises:
        ServingError: A server didn't start.
        ValueError: There are too few cores.
    """
    with contextlib.ExitStack() as stack:
        if options.server_cores is None:
            generator = stack.enter_context(Generator())
        else:
            cores = split_cores(options.server_cores)
            generator = stack.enter_context(Generator(cores.generator))
            stack.enter_context(bound(cores.server))
        console.print("a trivial model")
        yield from _trivial(options, folder / TRIVIAL, generator)
        for scenarios in options.scenarios:
            console.print(f"{scenarios} scenarios: making the models")
            with contextlib.ExitStack() as servers:
                place = folder / str(scenarios)
                contestants = _start(options, scenarios, place, servers)
                for candidates in options.candidates:
                    traffic = make_traffic(scenarios, candidates)
                    for clients in options.clients:
                        console.print(f"  {candidates} candidates, {clients} clients")
                        yield from _Comparison(
                            scenarios,
                            candidates,
                            clients,
                            options,
                            contestants,
                            traffic,
                            generator,
                        ).run()


def _trivial(
    options: Options, base: Path, generator: Generator
) -> Iterator[ServingRecord]:
    export_trivial(base)
    with _server(base, options) as server:
        contestants, traffic = [_Contestant(TRIVIAL, server, None)], make_traffic(1, 1)
        yield from _Comparison(0, 1, 1, options, contestants, traffic, generator).run()


def _start(
    options: Options, scenarios: int, place: Path, stack: contextlib.ExitStack
) -> list[_Contestant]:
    place.mkdir(parents=True)
    graph = write_transform_graph(scenarios, place / "graph")
    contestants = []
    for name in MODELS:
        path = export_model(name, options.hidden, graph, place / name)
        server = stack.enter_context(_server(place / name, options))
        contestants.append(_Contestant(name, server, InProcess(path)))
    return contestants


def _server(base: Path, options: Options) -> ServerProcess:
    arguments = [
        "--rest_api_port=-1",
        "--file_system_poll_wait_seconds=0",
        f"--isolate_models={str(options.isolated).lower()}",
    ]
    if options.batching:
        arguments += [
            "--enable_batching",
            f"--batching_parameters_file={files('serving') / 'config/batching.config'}",
        ]
    return ServerProcess(model_name=MODEL, model_base_path=base, arguments=arguments)


_Key = TypeVar("_Key", bound=Hashable)
_Line = tuple[ProtocolName, str]
"""Protocol and name of a model."""


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """A comparison of models under one load, in slices, each model in turn."""

    scenarios: int
    candidates: int
    clients: int
    options: Options
    contestants: Sequence[_Contestant]
    traffic: Traffic
    generator: Generator

    def run(self) -> Iterator[ServingRecord]:
        self._closed()
        self._in_process()  # both only warm up
        closed, references = [], []
        for _ in range(_ROUNDS):
            closed.append(self._closed())
            references.append(self._in_process())
        capacities = _joined(closed)
        rates = {
            protocol: SHARE
            * min(
                capacities[protocol, one.name].answers_per_second
                for one in self.contestants
            )
            for protocol in self.options.protocols
        }
        latencies = _joined(self._open(rates, seed) for seed in range(_ROUNDS))
        reference = _joined(references)
        for protocol, name in capacities:
            yield self._record(
                name,
                protocol,
                rates[protocol],
                closed=capacities[protocol, name],
                open_=latencies[protocol, name],
                reference=reference.get(name),
            )

    def _record(
        self,
        model: str,
        protocol: ProtocolName,
        rate: float,
        *,
        closed: Outcome,
        open_: Outcome,
        reference: Outcome | None,
    ) -> ServingRecord:
        return ServingRecord(
            model=model,
            protocol=protocol,
            scenarios=self.scenarios,
            candidates=self.candidates,
            clients=self.clients,
            isolated=self.options.isolated,
            batching=self.options.batching,
            server_cores=self.options.server_cores,
            requests_per_second=rate,
            requests=len(open_.latencies),
            **percentiles(open_.latencies),
            rows_per_second=self.candidates * closed.answers_per_second,
            in_process_rows_per_second=(
                self.candidates * reference.answers_per_second if reference else None
            ),
            errors=closed.errors + open_.errors,
            first_error=closed.first_error or open_.first_error,
        )

    def _closed(self) -> dict[_Line, Outcome]:
        seconds = self._seconds(_CLOSED)
        return {
            (protocol, one.name): self._send(protocol, one, seconds, None)
            for protocol, one in self._lines()
        }

    def _open(
        self, rates: Mapping[ProtocolName, float], seed: int
    ) -> dict[_Line, Outcome]:
        seconds = self._seconds(1 - _CLOSED)
        return {
            (protocol, one.name): self._send(
                protocol, one, seconds, arrivals(rates[protocol], seconds, seed)
            )
            for protocol, one in self._lines()
        }

    def _in_process(self) -> dict[str, Outcome]:
        return {
            one.name: one.in_process.run(
                self.traffic.examples, self.clients, self._seconds(_CLOSED)
            )
            for one in self.contestants
            if one.in_process
        }

    def _lines(self) -> Iterator[tuple[ProtocolName, _Contestant]]:
        return itertools.product(self.options.protocols, self.contestants)

    def _seconds(self, share: float) -> float:
        return self.options.seconds * share / _ROUNDS

    def _send(
        self,
        protocol: ProtocolName,
        one: _Contestant,
        seconds: float,
        times: Sequence[float] | None,
    ) -> Outcome:
        target, payloads = one.target(protocol), self.traffic.payloads[protocol]
        return self.generator.send(
            Job(protocol, target, payloads, self.clients, seconds, times)
        )


def _joined(rounds: Iterable[Mapping[_Key, Outcome]]) -> dict[_Key, Outcome]:
    parts = list(rounds)
    return {key: join(part[key] for part in parts) for key in parts[0]}

"""A small shop whose customers' behaviour is known, and real runs of the pipeline."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import yaml
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from tfx.orchestration import metadata

from midpg_tf import MIDPG
from midpg_tf.spec import DatasetSpec
from pipeline.local_runner import SPEC_VARIABLE
from pipeline.paths import ROOT_VARIABLE, RunPaths
from pipeline.rollbacks import note_rollback
from pipeline.run import RunOutcome, run_pipeline, versions
from pipeline.serving_check import ServedOffline, check_serving
from serving.client import Client
from serving.export import ServingModel, export
from serving.process import ServerProcess
from serving.status import State

SCENARIOS = {
    "web/de": 0.35,
    "web/fr": 0.25,
    "app/de": 0.2,
    "app/fr": 0.2,
}
"""Share of the rows by scenario."""

CONTRARY = "app/fr"
"""Its customers like what all others dislike, so that only its own rows teach it."""

ROWS = 4000
TASTE = (-1.5, -1.0, -0.5, -0.2, 0.2, 0.5, 1.0, 1.5)
COMMANDS = Path(sys.executable).parent

SHOP = {
    "name": "shop",
    "data": {
        "format": "csv",
        "path": "rows.csv",
        "split": {"by": "time", "column": "shown_at", "eval": 0.1, "test": 0.25},
    },
    "label": {"name": "bought"},
    "scenario": ["channel", "country"],
    "features": {
        "channel": {"kind": "categorical", "embedding": 4},
        "country": {"kind": "categorical", "embedding": 4},
        "item": {"kind": "categorical", "embedding": 4},
        "age": {"kind": "numeric"},
    },
    "model": {"name": "midpg", "hidden": [32], "rank": 4},
    "training": {
        "epochs": 15,
        "patience": 5,
        "batch_size": 256,
        "learning_rate": 0.01,
    },
    # Intervals of some hundred rows are wide; the overall bound leaves room for one
    # small scenario that breaks, since that is what the others are there to find.
    "gates": {
        "auc": {"min": 0.7, "min_gain": -0.1},
        "per_scenario": {"min_rows": 50, "max_loss": 0.03},
        "calibration": {"max_error": 0.4},
        "resamples": 200,
    },
}

OTHER_MODEL = SHOP["model"] | {"rank": 2}


def make_rows(seed: int = 0) -> list[dict[str, Any]]:
    """Rows in the order of time, whose label follows item and age, with an AUC of 0.8.

    Args:
        seed: Another one gives other rows with the same relations.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for moment in range(ROWS):
        scenario = rng.choice(list(SCENARIOS), p=list(SCENARIOS.values()))
        item, age = rng.integers(len(TASTE)), rng.normal()
        liking = TASTE[item] + 1.2 * age
        if scenario == CONTRARY:
            liking = -liking
        channel, country = scenario.split("/")
        rows.append(
            {
                "shown_at": moment,
                "channel": channel,
                "country": country,
                "item": f"i{item}",
                "age": round(40 + 10 * age, 2),
                "bought": int(rng.random() < 1 / (1 + np.exp(-liking))),
            }
        )
    return rows


class Artifact(NamedTuple):
    """An artifact in the metadata store; its properties are those that are numbers."""

    id: int
    uri: Path
    properties: dict[str, int]


class Run(NamedTuple):
    """What one run of the pipeline did.

    Attributes:
        outcome: None if it ended with an error, or ran in a process of its own.
        error: The error.
        exit_code: Of the process; 0 without one.
        output: What the process wrote.
        states: State of its executions in the metadata store, by component.
        outputs: Their artifacts, by component and output.
        before: The versions in production before it.
        after: The versions in production after it.
    """

    outcome: RunOutcome | None
    error: Exception | None
    exit_code: int
    output: str
    states: dict[str, str]
    outputs: dict[tuple[str, str], Artifact]
    before: set[int]
    after: set[int]

    def in_state(self, state: str) -> set[str]:
        return {name for name, found in self.states.items() if found == state}


class Shop:
    """A data set in a folder, its runs, and what they leave in the metadata store.

    Args:
        folder: An empty one.
        **sections: What replaces sections of the data-set file, in all runs.
    """

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder = folder
        self.content = SHOP | sections
        self.file = folder / "shop.yaml"
        self.home = folder / "runs"
        self.paths = RunPaths(self.home / self.content["name"])
        self.spec = self.describe()

    def describe(self, **sections: Any) -> DatasetSpec:
        """Writes the data-set file, with some sections replaced, and loads it."""
        content = self.content | sections
        self.file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return DatasetSpec.load(self.file)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Writes the CSV file that runs read."""
        with (self.folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def run(self, **sections: Any) -> Run:
        """Runs the pipeline in this process."""
        spec = self.describe(**sections)
        outcome, error = None, None
        before, known = versions(self.paths.serving), self.newest_execution()
        try:
            outcome = run_pipeline(spec, self.paths)
        except Exception as caught:  # which one it is, is what the tests look at
            error = caught
        return self.record(known, before)._replace(outcome=outcome, error=error)

    def run_command(self, **sections: Any) -> Run:
        """Runs the pipeline with `midpg run`."""
        before, known = versions(self.paths.serving), self.newest_execution()
        process = self.start_command(**sections)
        output, _ = process.communicate()
        found = self.record(known, before)
        return found._replace(exit_code=process.returncode, output=output)

    def start_command(self, **sections: Any) -> subprocess.Popen[str]:
        """Starts `midpg run`, in a process group of its own."""
        self.describe(**sections)
        return subprocess.Popen(
            [COMMANDS / "midpg", "run", self.file.name, "--root", self.home.name],
            cwd=self.folder,
            env=user_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def newest_execution(self) -> int:
        """Its number in the metadata store, 0 if there is none."""
        if not self.paths.metadata.exists():
            return 0
        return max((e.id for e in self._store().get_executions()), default=0)

    def record(self, known: int, before: set[int]) -> Run:
        """What has been added to the metadata store, and is in production now.

        Args:
            known: The newest execution that isn't meant.
            before: The versions that were in production then.
        """
        store = self._store()
        states: dict[str, str] = {}
        outputs: dict[tuple[str, str], Artifact] = {}
        for context in store.get_contexts_by_type("node"):
            component = context.name.rpartition(".")[2]
            for execution in store.get_executions_by_context(context.id):
                if execution.id <= known:
                    continue
                # Each component runs once in a run.
                assert component not in states
                states[component] = metadata_store_pb2.Execution.State.Name(
                    execution.last_known_state
                )
                for event in store.get_events_by_execution_ids([execution.id]):
                    if event.type != metadata_store_pb2.Event.OUTPUT:
                        continue
                    (artifact,) = store.get_artifacts_by_id([event.artifact_id])
                    outputs[component, event.path.steps[0].key] = Artifact(
                        artifact.id,
                        Path(artifact.uri),
                        {k: v.int_value for k, v in artifact.custom_properties.items()},
                    )
        return Run(
            outcome=None,
            error=None,
            exit_code=0,
            output="",
            states=states,
            outputs=outputs,
            before=before,
            after=versions(self.paths.serving),
        )

    def _store(self) -> metadata_store.MetadataStore:
        return metadata_store.MetadataStore(
            metadata.sqlite_metadata_connection_config(str(self.paths.metadata))
        )


def user_environment(**more: str) -> dict[str, str]:
    """The environment of someone who has activated the virtual environment."""
    unset = {ROOT_VARIABLE, SPEC_VARIABLE, "PYTHONPATH", "TF_USE_LEGACY_KERAS"}
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    environment["PATH"] = os.pathsep.join([str(COMMANDS), os.environ.get("PATH", "")])
    # Lines are wanted when they are written: they tell how far a process has come.
    return environment | {"PYTHONUNBUFFERED": "1"} | more


@pytest.fixture(scope="session")
def make_shop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Shop]:
    """Makes a shop in a new folder; arguments replace sections of its file."""
    return lambda **sections: Shop(tmp_path_factory.mktemp("shop"), **sections)


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """The rows of a shop, in the order of time; read-only."""
    return make_rows()


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """The environment of someone who has activated the virtual environment."""
    return user_environment


# One shop lives through the runs below, in this order, since a pipeline takes a minute.
# Each fixture keeps what its run did, so that tests may look at it at any later time.


@pytest.fixture(scope="session")
def shop(make_shop: Callable[..., Shop], rows: list[dict[str, Any]]) -> Shop:
    """A shop with its rows written."""
    shop = make_shop()
    shop.write(rows)
    return shop


@pytest.fixture(scope="session")
def first(shop: Shop) -> Run:
    """The first run, which puts a model in production."""
    return shop.run()


@pytest.fixture(scope="session")
def second(shop: Shop, first: Run) -> Run:
    """The same once more."""
    return shop.run()


@pytest.fixture(scope="session")
def server(shop: Shop, first: Run) -> Iterator[ServerProcess]:
    """A server on what the runs push, which lives through all of them."""
    with ServerProcess(
        model_name="shop",
        model_base_path=shop.paths.serving,
        arguments=["--file_system_poll_wait_seconds=0.2"],
    ) as server:
        yield server


@pytest.fixture(scope="session")
def client(shop: Shop, server: ServerProcess) -> Iterator[Client]:
    with Client(server.target, "shop", shop.spec) as client:
        yield client


@pytest.fixture(scope="session")
def below_threshold(shop: Shop, second: Run) -> Run:
    """`midpg run` with another model, and a bound that no model can hold."""
    return shop.run_command(
        model=OTHER_MODEL, gates=SHOP["gates"] | {"auc": {"min": 0.999}}
    )


@pytest.fixture(scope="session")
def replaced(
    shop: Shop, below_threshold: Run, client: Client, rows: list[dict[str, Any]]
) -> tuple[Run, list[float]]:
    """That model with the usual bounds, and the scores that a client got meanwhile."""
    scores: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            scores.append(float(client.predict(rows[:1])[0]))

    with ThreadPoolExecutor() as pool:
        answered = pool.submit(ask)
        replaced = shop.run(model=OTHER_MODEL)
        deadline = time.monotonic() + 60
        while max(replaced.after) not in available(client):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        time.sleep(1)  # of answers by the new version
        stop.set()
        answered.result()
    return replaced, scores


@pytest.fixture(scope="session")
def compared(shop: Shop, replaced: tuple[Run, list[float]]) -> ServedOffline:
    """Served and offline scores of the model that is in production then."""
    return check_serving(shop.spec, shop.paths, Console())


@pytest.fixture(scope="session")
def retrained(shop: Shop, compared: ServedOffline) -> Run:
    """That model again, of rows that were only touched, after it was rolled back."""
    note_rollback(shop.paths, max(versions(shop.paths.serving)))
    (shop.folder / "rows.csv").touch()
    retrained = shop.run(model=OTHER_MODEL)
    shop.paths.rolled_back.unlink()
    return retrained


@pytest.fixture(scope="session")
def unservable(shop: Shop, retrained: Run) -> Run:
    """A candidate that scores in the process that trained it, and in no other one."""
    alive = []

    def export_with_python_inside(serving_model: ServingModel, path: str) -> None:
        score = serving_model.score
        if isinstance(serving_model.model, MIDPG):
            # As a feature that somebody computes with NumPy: the graph has the number
            # of a function in this process.
            serving_model.score = lambda features: tf.ensure_shape(
                tf.numpy_function(np.copy, [score(features)], tf.float32), [None]
            )
            serving_model.variables_of_score = score
            alive.append(serving_model)
        export(serving_model, path)

    with pytest.MonkeyPatch.context() as patch:
        # Where it is defined, since TFX loads the trainer's module anew.
        patch.setattr("serving.export.export", export_with_python_inside)
        return shop.run(model=SHOP["model"] | {"rank": 3})


@pytest.fixture(scope="session")
def shuffled(shop: Shop, unservable: Run, rows: list[dict[str, Any]]) -> Run:
    """New data in which one scenario's labels mean nothing, but in the test split."""
    train = [
        row
        for row in rows[: round(0.75 * ROWS)]
        if f"{row['channel']}/{row['country']}" == CONTRARY
    ]
    labels = np.random.default_rng(1).permutation([row["bought"] for row in train])
    wrong = {
        row["shown_at"]: int(label) for row, label in zip(train, labels, strict=True)
    }
    shop.write(
        [row | {"bought": wrong.get(row["shown_at"], row["bought"])} for row in rows]
    )
    return shop.run()


@pytest.fixture(scope="session")
def anomalous(shop: Shop, shuffled: Run, rows: list[dict[str, Any]]) -> Run:
    """New data with a country that the schema doesn't know, in a third of the rows."""
    shop.write(
        [row | {"country": "xx"} if i % 3 == 0 else row for i, row in enumerate(rows)]
    )
    return shop.run()


def available(client: Client) -> set[int]:
    """The versions that a server has loaded."""
    return {s.version for s in client.status() if s.state is State.AVAILABLE}


@pytest.fixture
def serving_versions(client: Client) -> Callable[[], set[int]]:
    """The versions that the server has loaded."""
    return lambda: available(client)

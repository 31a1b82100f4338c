"""`midpg benchmark serving` with real servers, tiny."""

import io
import json
import os
import signal
import tempfile
import time

import grpc
import pytest

from pipeline.benchmark.serving import command as serving_command
from pipeline.benchmark.serving.measure import Options, ServingRecord
from serving.commands.console import PlainConsole
from serving.errors import ServingError


@pytest.mark.e2e
def test_both_models_are_served_over_both_protocols(command, tmp_path):
    file = tmp_path / "serving.json"
    found = command(
        *("benchmark", "serving", "--scenarios=2", "--candidates=100", "--clients=4"),
        *("--seconds=1", f"--json={file}"),
    )
    assert found.code == 0, found.err
    records = json.loads(file.read_text())
    assert [(one["model"], one["protocol"]) for one in records] == [
        ("trivial", "grpc"),
        ("trivial", "rest"),
        ("mlp", "grpc"),
        ("midpg", "grpc"),
        ("mlp", "rest"),
        ("midpg", "rest"),
    ]
    for one in records:
        assert one["errors"] == 0, one["first_error"]
        assert 0 < one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"] <= one["p999_ms"]
        assert one["rows_per_second"] > 0
    for one in records[2:]:
        assert (one["scenarios"], one["candidates"], one["clients"]) == (2, 100, 4)
        assert one["in_process_rows_per_second"] > 0
    assert any("p50 of a trivial model, grpc" in line for line in found.out)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--scenarios=4,0", "0 is not in the range x>=1"),
        ("--clients=x", "'x' is not a valid integer range"),
        ("--protocols=http", "'http' is not one of"),
        ("--seconds=0", "0.0 is not in the range"),
    ],
)
def test_wrong_options(command, option, told):
    found = command("benchmark", "serving", option)
    assert found.code == 2
    assert told in "\n".join(found.err)


def fail():
    raise ServingError(grpc.StatusCode.UNAVAILABLE, "the server died")


def stop():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (fail, pytest.raises(ServingError, match="the server died")),
        (stop, pytest.raises(KeyboardInterrupt)),
    ],
)
def test_what_was_measured_before_the_end_is_kept(monkeypatch, tmp_path, end, expected):
    handler = signal.getsignal(signal.SIGTERM)
    record = ServingRecord(
        model="mlp",
        protocol="rest",
        scenarios=4,
        candidates=100,
        clients=1,
        isolated=True,
        batching=False,
        server_cores=None,
        requests_per_second=5.0,
        requests=0,
        p50_ms=None,
        p95_ms=None,
        p99_ms=None,
        p999_ms=None,
        rows_per_second=0.0,
        in_process_rows_per_second=100.0,
        errors=7,
        first_error="ConnectionError: [status] 503",
    )

    def measure(options, folder, console):
        yield record
        end()

    monkeypatch.setattr(serving_command, "measure", measure)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = Options(
        [4], [100], [1], ["rest"], seconds=1.0, isolated=True, batching=False
    )
    console, file = PlainConsole(io.StringIO()), tmp_path / "records.json"
    console.width = 120
    with expected:
        serving_command.run_serving(options, file, console)
    (found,) = json.loads(file.read_text())
    assert {
        "model": "mlp",
        "protocol": "rest",
        "scenarios": 4,
        "candidates": 100,
        "clients": 1,
        "p50_ms": None,
        "p99_ms": None,
        "rows_per_second": 0.0,
        "errors": 7,
    }.items() <= found.items()
    told = console.file.getvalue()
    assert "7 errors of mlp over rest, first: ConnectionError: [status] 503" in told
    assert "Served" in told
    assert [path.name for path in tmp_path.iterdir()] == ["records.json"]
    assert signal.getsignal(signal.SIGTERM) is handler

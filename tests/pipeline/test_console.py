"""What reaches the terminal of a run, and what the log file alone."""

from __future__ import annotations

import io
import logging
import os
import sys

import pytest
from rich.console import Console

from pipeline.console import ComponentProgress, quiet_run

TFX = logging.getLogger("absl")


@pytest.fixture(autouse=True)
def root_logger_as_before():
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = list(root.handlers)
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def progress():
    console = Console(file=io.StringIO(), width=80)
    handler = ComponentProgress(console)

    def feed(*messages):
        for message in messages:
            handler.emit(logging.makeLogRecord({"msg": message}))
        return console.file.getvalue().split()

    feed.console = console
    return feed


def test_a_component_and_its_time(progress):
    assert progress("Component Transform is running.") == ["Transform"]
    name, took, unit = progress("Component Transform is finished.")
    assert (name, unit) == ("Transform", "s")
    assert float(took) >= 0


def test_a_component_from_the_cache(progress):
    found = progress(
        "Component Transform is running.",
        "A cached execution 7 is used.",
        "Component Transform is finished.",
        "Component Trainer is running.",
        "Component Trainer is finished.",
    )
    assert found[:5] == ["Transform", "from", "the", "cache", "Trainer"]
    assert found[-1] == "s"
    # A line each, and none that a clock left empty.
    assert all(progress.console.file.getvalue().splitlines())


def test_libraries_write_to_the_log_alone(tmp_path, capfd, real_stderr):
    real_stderr()
    log_file = tmp_path / "new" / "run.log"
    with quiet_run(log_file) as console:
        logging.getLogger("midpg.data").error("for the person")
        TFX.warning("for the log")
        os.write(2, b"from C++\n")
        print("from a library", file=sys.stderr)  # noqa: T201
        TFX.info("Component Transform is running.")
        TFX.info("Component Transform is finished.")
        console.print("a long line " * 20)
    print("afterwards", file=sys.stderr)  # noqa: T201
    out, err = capfd.readouterr()
    assert err == "afterwards\n"
    lines = [line.rstrip() for line in out.splitlines() if line.strip()]
    assert lines[0] == "  for the person"
    assert lines[1] == "Transform"
    assert lines[2].endswith(" s")
    # Not wrapped, so that paths can be copied.
    assert lines[3] == ("a long line " * 20).rstrip()
    logged = log_file.read_text()
    for text in ("for the person", "for the log", "from C++", "from a library"):
        assert text in logged


def test_the_terminal_is_given_back_after_an_error(tmp_path, capfd, real_stderr):
    real_stderr()
    with pytest.raises(ZeroDivisionError), quiet_run(tmp_path / "run.log"):
        raise ZeroDivisionError
    os.write(2, b"afterwards\n")
    logging.getLogger("midpg.data").warning("nobody listens")
    assert "afterwards" in capfd.readouterr().err

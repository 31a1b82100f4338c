"""Versions and configurations that can't be used, and disks that are full."""

import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from serving.status import State

pytestmark = pytest.mark.robustness


def no_bytes(path):
    (path / "saved_model.pb").write_bytes(b"")


def no_model(path):
    (path / "saved_model.pb").write_bytes(b"\xff" * 1000)


def other_bytes(path):
    content = (path / "saved_model.pb").read_bytes()
    half = len(content) // 2
    flipped = bytes(byte ^ 0x55 for byte in content[half:])
    (path / "saved_model.pb").write_bytes(content[:half] + flipped)


def unknown_operation(path):
    content = (path / "saved_model.pb").read_bytes()
    assert b"ReadVariableOp" in content
    (path / "saved_model.pb").write_bytes(
        content.replace(b"ReadVariableOp", b"ReadVariableOq")
    )


def folder_for_a_file(path):
    (path / "saved_model.pb").unlink()
    (path / "saved_model.pb").mkdir()


def no_variables(path):
    shutil.rmtree(path / "variables")


def no_index(path):
    (path / "variables" / "variables.index").unlink()


def spoilt_index(path):
    (path / "variables" / "variables.index").write_bytes(b"\xff" * 100)


def variables_cut_off(path):
    os.truncate(path / "variables" / "variables.data-00000-of-00001", 1)


def link_to_itself(path):
    shutil.rmtree(path / "variables")
    (path / "variables").symlink_to(path / "variables")


SPOILT = (
    no_bytes,
    no_model,
    other_bytes,
    unknown_operation,
    folder_for_a_file,
    no_variables,
    no_index,
    spoilt_index,
    variables_cut_off,
    link_to_itself,
)


def test_spoilt_versions_are_told_and_the_good_one_stays(
    lines, publish, tmp_path, serve, connect, predict_request, eventually, caplog, state
):
    base, spoilt = tmp_path / "m", tmp_path / "spoilt"
    publish(lines[1], base, 1)
    for number, spoil in enumerate(SPOILT, start=2):
        spoil(publish(lines[2], spoilt, number))
    stubs = connect(serve(base, isolate_models=True).target)

    def version():
        response = stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=20)
        return response.outputs["y"].float_val[0] - 2.0

    for path in spoilt.iterdir():
        path.rename(base / path.name)
    ended = dict.fromkeys(range(2, 2 + len(SPOILT)), State.END)
    eventually(lambda: state(stubs) == {1: State.AVAILABLE} | ended, 60)

    assert version() == 1
    logged = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    for number, spoil in enumerate(SPOILT, start=2):
        (line,) = [line for line in logged if f"version {number} at" in line]
        assert "version 1 goes on" in line
        # The reason in one line, as the status has it.
        reason = line.split("goes on): ")[1]
        assert len(reason) > 30, spoil.__name__
        assert "\n" not in reason
    publish(lines[2], base, 100)
    eventually(lambda: state(stubs).get(100) is State.AVAILABLE)
    assert version() == 2


def no_text(path):
    path.write_bytes(b"\xff\xfe\x00")


def no_file(path):
    path.unlink()


def a_folder(path):
    path.unlink()
    path.mkdir()


def another_config(path):
    path.write_text("max_batch_size { value: 8 }")


def no_base_path(path):
    path.write_text('model_config_list { config { name: "m" } }')


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_text, "found it is no text"),
        (no_file, "No such file or directory"),
        (a_folder, "Is a directory"),
        (another_config, 'has no field named "max_batch_size"'),
        (no_base_path, "Illegal setting neither"),
    ],
)
def test_a_spoilt_configuration_is_told_and_the_good_one_stays(
    lines,
    publish,
    entry,
    write_config,
    tmp_path,
    serve,
    connect,
    predict_request,
    eventually,
    caplog,
    spoil,
    reason,
):
    base = tmp_path / "m"
    publish(lines[1], base, 1)
    config = write_config(tmp_path / "models.config", entry(tmp_path, "m"))
    server = serve(
        model_config_file=str(config), model_config_file_poll_wait_seconds=0.05
    )
    stubs = connect(server.target)

    spoil(config)

    eventually(lambda: "was not applied" in caplog.text)
    told = [line for line in caplog.messages if "was not applied" in line]
    assert len(told) == 1
    assert str(config) in told[0]
    assert reason in told[0]
    response = stubs.predictions.Predict(predict_request({"x": [1.0]}), timeout=20)
    assert response.outputs["y"].float_val[0] == 3.0


def test_a_full_disk_behind_the_log(
    lines, publish, tmp_path, connect, predict_request, eventually, state
):
    base, log = tmp_path / "m", tmp_path / "server.log"
    publish(lines[1], base, 1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = [f"--port={port}", "--model_name=m", f"--model_base_path={base}"]
    flags += ["--file_system_poll_wait_seconds=0.1", "--max_num_load_retries=0"]
    with Path("/dev/full").open("w") as full, log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", *flags],
            stdout=full,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
    own = psutil.Process(process.pid)
    stubs = connect(f"127.0.0.1:{port}")

    def version():
        response = stubs.predictions.Predict(
            predict_request({"x": [1.0]}), timeout=60, wait_for_ready=True
        )
        return response.outputs["y"].float_val[0] - 2.0

    def limit(size):
        # No file of these processes may grow beyond it.
        for found in [own, *own.children(recursive=True)]:
            resource.prlimit(
                found.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)
            )

    try:
        assert version() == 1
        eventually(lambda: "can't write to stdout: No space left" in log.read_text())
        limit(0)
        publish(lines[2], base, 2)
        eventually(lambda: version() == 2, 30)
        publish(lines[3], base, 3, truncated=True)
        eventually(lambda: state(stubs).get(3) is State.END, 30)
        assert version() == 2
        assert "version 2" not in log.read_text()
        limit(resource.RLIM_INFINITY)
        publish(lines[4], base, 4)
        eventually(lambda: "version 4 serves" in log.read_text(), 30)
        assert version() == 4
    finally:
        process.terminate()
        process.wait(60)

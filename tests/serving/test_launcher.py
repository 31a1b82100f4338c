"""Which server is run, and how."""

import csv
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from serving import launcher
from serving.cli import serve


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A folder that is the whole PATH; programs in it print their arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(name):
        program = folder / name
        program.write_text('#!/bin/sh\necho "$0" "$@"\n')
        program.chmod(0o755)
        return program

    return install


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_auto_takes_the_binary_if_it_is_there(path):
    assert launcher.choose("auto") == "embedded"
    path("docker")
    assert launcher.choose("auto") == "embedded"
    path("tensorflow_model_server")
    assert launcher.choose("auto") == "tensorflow_model_server"
    assert launcher.choose("embedded") == "embedded"


@pytest.mark.parametrize("backend", ["tensorflow_model_server", "docker"])
def test_a_server_that_is_not_there(path, backend):
    result = CliRunner().invoke(serve, [f"--backend={backend}", "--model_base_path=/m"])

    assert result.exit_code == 2
    assert f"{backend} is not on the PATH" in result.output


@pytest.mark.e2e
def test_the_binary_gets_the_flags_that_were_given(path):
    program = path("tensorflow_model_server")

    result = run(
        "--port=8600",
        "--model_base_path=models/m",
        "--enable_batching",
        "--tensorflow_session_parallelism=2",
        "--num_load_threads=2",
        "--load_retry_interval_micros=-1",
        "--flush_filesystem_caches=false",
    )

    assert result.returncode == 0
    assert result.stdout.split() == [
        str(program),
        "--port=8600",
        f"--model_base_path={Path('models/m').absolute()}",
        "--enable_batching=true",
        "--tensorflow_session_parallelism=2",
        "--num_load_threads=2",
        "--load_retry_interval_micros=-1",
        "--flush_filesystem_caches=false",
    ]


@pytest.mark.e2e
def test_the_binary_is_asked_for_its_version(path):
    program = path("tensorflow_model_server")

    assert run("--version").stdout.split() == [str(program), "--version"]


@pytest.mark.e2e
def test_whole_seconds_reach_the_binary_as_whole_numbers(path):
    path("tensorflow_model_server")
    flags = [
        "--model_config_file_poll_wait_seconds=1",
        "--file_system_poll_wait_seconds=0",
    ]

    result = run("--model_base_path=/m", *flags)

    # It reads no 1.0 for them.
    assert set(flags) <= set(result.stdout.split())


def test_docker_sees_ports_and_files(tmp_path):
    config = tmp_path / "real" / "models.config"
    config.parent.mkdir()
    config.write_text(
        'model_config_list { config { name: "m" base_path: "/models/m" } }'
    )
    link = tmp_path / "link"
    link.symlink_to(config)

    command = launcher.command(
        "docker",
        {"port": 8600, "rest_api_port": 8601, "model_config_file": str(link)},
        more=[],
        image="tensorflow/serving:1.2.3",
    )

    assert command[:2] == ["docker", "run"]
    assert {"--publish=8600:8600", "--publish=8601:8601"} <= set(command)
    assert [part for part in command if part.startswith(("--mount", "--volume"))] == [
        f"--mount=type=bind,src={path},dst={path},readonly"
        for path in (config.parent, "/models/m")
    ]
    image = command.index("tensorflow/serving:1.2.3")
    assert command[image + 1 :] == [
        "--port=8600",
        "--rest_api_port=8601",
        f"--model_config_file={config}",
    ]


@pytest.mark.parametrize("path", ["/models/a,readonly=false", '/models/"a",b', "/a b"])
def test_docker_takes_a_path_as_a_whole(path):
    command = launcher.command("docker", {"model_base_path": path}, [], "image")

    (mount,) = [part for part in command if part.startswith("--mount=")]
    assert list(csv.reader([mount.removeprefix("--mount=")], strict=True)) == [
        ["type=bind", f"src={path}", f"dst={path}", "readonly"]
    ]


def test_the_command_that_is_told_can_be_run(path, monkeypatch):
    path("docker")
    run = []
    monkeypatch.setattr("os.execvp", lambda program, command: run.extend(command))

    result = CliRunner().invoke(
        serve, ["--backend=docker", "--model_base_path=/a b; true", "--x", "$HOME"]
    )

    assert "--model_base_path=/a b; true" in run
    assert shlex.split(result.output) == run


def test_docker_sees_the_models_that_are_served(tmp_path):
    config = tmp_path / "models.config"
    config.write_text(
        """model_config_list {
          # config { name: "old" base_path: "/models/old" }
          config { name: "a" base_path: '/models/a' }
          config { name: "b" base_path: "s3://bucket/b" }
          config { name: "c" base_path: "/models/" "c" }
        }"""
    )

    command = launcher.command(
        "docker", {"model_config_file": str(config)}, more=[], image="i"
    )

    assert [part for part in command if part.startswith("--mount")] == [
        f"--mount=type=bind,src={path},dst={path},readonly"
        for path in (tmp_path, "/models/a", "/models/c")
    ]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model_config_file=/none/models.config"], "/none/models.config"),
        (
            [f"--model_config_file={__file__}"],
            f"--model_config_file: Invalid protobuf file: '{__file__}': expected a"
            " ModelServerConfig as text",
        ),
    ],
)
def test_what_docker_can_not_do_is_told(path, flags, expected):
    path("docker")

    result = CliRunner().invoke(serve, ["--backend=docker", *flags])

    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())


@pytest.mark.parametrize("backend", ["tensorflow_model_server", "docker"])
@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--port=-1", "--port: expected a port, found -1, which only"),
        ("--rest_api_port=-1", "--rest_api_port: expected a port, found -1, which"),
        (
            "--file_system_poll_wait_seconds=0.5",
            "--file_system_poll_wait_seconds: expected whole seconds, found 0.5, which",
        ),
    ],
)
def test_what_only_the_embedded_server_takes_is_told(path, backend, flag, expected):
    path(backend)
    flags = [f"--backend={backend}", "--model_base_path=/m", flag]

    result = CliRunner().invoke(serve, flags)

    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())


@pytest.mark.e2e
def test_docker_takes_an_image_and_a_port_by_itself(path):
    path("docker")

    result = run("--backend=docker", "--model_base_path=/m")

    assert launcher.IMAGE in result.stdout.split()
    assert "--publish=8500:8500" in result.stdout.split()


@pytest.mark.parametrize("own", ["--isolate_models=false", "--host=127.0.0.1"])
def test_flags_of_one_server_are_refused_by_the_other(path, own):
    # An unknown one ends what is read; so no path is found after it, which is no news.
    result = CliRunner().invoke(serve, ["--tensorflow_x", "1", "--model_base_path=/m"])
    assert result.exit_code == 2
    assert "The embedded server has no --tensorflow_x." in result.output

    path("tensorflow_model_server")
    result = CliRunner().invoke(serve, ["--model_base_path=/m", own])
    assert result.exit_code == 2
    assert f"{own.partition('=')[0]} is for --backend=embedded" in result.output

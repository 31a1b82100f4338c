"""The command line, as far as it needs no process of its own."""

import dataclasses

import pytest
from click.testing import CliRunner

from serving.cli import serve
from serving.embedded.options import ServerOptions


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--model_base_path"),
        (["--model_base_path=x", "--port=70000"], "--port"),
        (["--model_base_path=x", "--host=localhost"], "host: expected an IP address"),
        (["--model_base_path=x", "--enable_model_warmup=perhaps"], "perhaps"),
        (["--model_base_path=x", "--file_system_poll_wait_seconds=-1"], "poll_wait"),
        (["--model_base_path=x", "--grpc_channel_arguments=a"], "name=value"),
        (["--model_base_path=x", f"--grpc_channel_arguments=a={2**31}"], "32 bits"),
        (["--model_base_path=x", f"--max_message_bytes={2**31}"], "max_message_bytes"),
        (["--model_base_path=x", "--batching_parameters_file=x"], "enable_batching"),
        (["--version"], "--version"),
        (
            [
                "--model_base_path=x",
                "--tensorflow_session_parallelism=1",
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
            ],
            "You cannot configure all",
        ),
    ],
)
def test_a_wrong_flag_is_named(monkeypatch, arguments, expected):
    # Those who run the tests may want to interrupt them.
    monkeypatch.setattr("signal.signal", lambda *_: None)

    result = CliRunner().invoke(serve, arguments)

    assert result.exit_code == 2
    assert expected in result.output


def test_flags_that_the_embedded_server_has_no_use_for(monkeypatch, caplog):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    flags = ["--num_load_threads=2", "--grpc_max_threads", "8", "--model_base_path=x"]

    # The last one ends it.
    result = CliRunner().invoke(serve, [*flags, "--grpc_channel_arguments=a"])

    assert "name=value" in result.output
    assert "ignores --grpc_max_threads, --num_load_threads" in caplog.text


def test_each_option_of_the_server_is_a_flag():
    options = {field.name for field in dataclasses.fields(ServerOptions)}

    assert options <= {parameter.name for parameter in serve.params}

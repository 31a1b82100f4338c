"""What is told, of errors too."""

import io
import logging
import sys

import click
import grpc
import pytest

from serving.commands.terminal import errors_told, open_console
from serving.errors import ServingError


def test_what_the_locale_cannot_write_is_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    open_console().print("Österreich 0.7 ±0.1")
    assert written.getvalue() == rb"\xd6sterreich 0.7 \xb10.1" + b"\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("expected 1"), "expected 1"),
        (LookupError("no version"), "no version"),
        (KeyError("key"), "KeyError: 'key'"),
        (ServingError(grpc.StatusCode.NOT_FOUND, "no model"), "no model"),
        (click.BadParameter("expected 2"), "expected 2"),
    ],
)
def test_the_message_of_an_error(error, message):
    with pytest.raises(click.ClickException) as caught, errors_told():
        raise error

    assert caught.value.message == message


def test_the_log_gets_the_traceback(tmp_path, caplog):
    log_file = tmp_path / "run.log"
    with pytest.raises(click.ClickException) as caught, errors_told(log_file):
        raise ValueError("expected 1")

    assert caught.value.message == f"expected 1\nlog: {log_file}"
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.exc_info[1].args == ("expected 1",)


def test_notes_follow_the_message(tmp_path):
    log_file = tmp_path / "run.log"
    error = ValueError("expected 1")
    error.add_note("found 2")
    with pytest.raises(click.ClickException) as caught, errors_told(log_file):
        raise error

    assert caught.value.message == f"expected 1\nfound 2\nlog: {log_file}"


def test_wrong_usage_stays_what_it_is(tmp_path):
    with pytest.raises(click.UsageError), errors_told(tmp_path / "run.log"):
        raise click.UsageError("expected one")

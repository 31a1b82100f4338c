"""What is told, of errors too."""

import io
import logging
import subprocess
import sys

import click
import grpc
import pytest
from rich.text import Text

from serving.commands.tables import plain_table
from serving.commands.terminal import errors_told, open_console, printable
from serving.errors import ServingError


def test_what_the_locale_cannot_write_is_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    open_console().print("Österreich 0.7 ±0.1")
    assert written.getvalue() == rb"\xd6sterreich 0.7 \xb10.1" + b"\n"


GOES_ON = """
import sys
from serving.commands.terminal import open_console

console = open_console()
sys.stdin.readline()  # until nobody reads any more
for _ in range(2):
    console.print("said")
print("done", file=sys.stderr)
"""


def test_what_nobody_reads_ends_no_command():
    command = [sys.executable, "-c", GOES_ON]
    pipes = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as started:
        started.stdout.close()
        started.stdin.write("go\n")
        started.stdin.close()
        assert started.stderr.read() == "done\n"
    assert started.returncode == 0


@pytest.fixture
def console(monkeypatch):
    """A console; called, it prints, and gives what was printed."""

    def show(*renderables):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "utf-8"))
        console = open_console()
        for one in renderables:
            console.print(one)
        return written.getvalue().decode()

    return show


RED = "\x1b[31mred\x9b2J\x1b]0;title\x07"


def test_no_control_character_of_a_text_reaches_the_terminal(console):
    table = plain_table(f"of {RED}", ["name", RED])
    table.add_row(Text(f"cell {RED}"), f"other {RED}")

    found = console(RED, Text(RED, "bold"), table)

    assert not {"\x1b", "\x9b", "\x07"} & set(found)
    assert found.count("\N{REPLACEMENT CHARACTER}[31mred") == 6


def test_in_a_table_nothing_else_is_lost(console):
    table = plain_table("Values", ["name"])
    table.add_row(Text("\x1b\x1b\x1b\x1b\x1babcdef"))

    shown = console(table).split("\n")[3:]

    assert "".join(line.strip() for line in shown).endswith("abcdef")


@pytest.mark.parametrize("text", ["a[red]b", "[/b]", ":red_heart:", "two\n\tlines"])
def test_a_text_is_shown_as_it_is(console, text):
    assert console(text) == f"{text}\n".expandtabs()
    assert printable(text) == text


def test_no_control_character_of_an_error_reaches_the_terminal():
    with pytest.raises(click.ClickException) as caught, errors_told():
        raise ValueError(f"found {RED}\nexpected 1")

    message = caught.value.message
    assert not {"\x1b", "\x9b", "\x07"} & set(message)
    assert message.endswith("\nexpected 1")


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

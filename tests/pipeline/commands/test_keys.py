"""`midpg keys`."""

import pytest
from click.testing import CliRunner

from pipeline.cli import main


@pytest.fixture
def keys():
    runner = CliRunner(env={"COLUMNS": "120"})
    return lambda *arguments: runner.invoke(main, ["keys", *arguments])


def test_shows_sections_with_their_keys(keys):
    found = keys("gates.calibration")
    assert found.exit_code == 0
    heading, key, *_ = found.output.splitlines()
    assert heading.startswith("gates.calibration  Bound on |predicted / observed - 1|")
    assert key.split("  ")[1:3] == [
        "max_error",
        "Largest error, overall and in each scenario with enough rows. Default 0.2.",
    ]


def test_brackets_are_no_markup(keys):
    assert "(for example `[user_id]`)" in keys("data.split.columns").output


def test_an_unknown_key_is_a_wrong_command_line(keys):
    found = keys("gate")
    assert found.exit_code == 2
    assert "found 'gate'; did you mean 'gates'?" in found.output

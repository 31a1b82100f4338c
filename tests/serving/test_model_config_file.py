"""The model configuration file, whose readers go on reading it."""

import os
import stat
from types import SimpleNamespace

import pytest

from serving import model_config_file
from serving.errors import ServingError
from serving.model_config_file import ModelConfigFile, _shut_out

TEXT = 'model_config_list { config { name: "m" base_path: "/m"'
TEXT += ' model_platform: "tensorflow" } }'
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "models.config"
    path.write_text(TEXT)
    path.chmod(0o640)
    return ModelConfigFile(path)


def state(mode, user, group):
    return SimpleNamespace(st_mode=stat.S_IFREG | mode, st_uid=user, st_gid=group)


def test_a_change_that_fails_leaves_the_file(file):
    with pytest.raises(ValueError, match="refused"), file.replacing(file.read()):
        raise ValueError("refused")

    assert file.text() == TEXT
    assert list(file.path.parent.iterdir()) == [file.path]


def test_what_is_illegal_is_told_with_the_file(file):
    file.path.write_text(TEXT.replace('"/m"', '"m"'))
    told = rf"{file.path}: Expected model m to have an absolute path"
    with pytest.raises(ServingError, match=told):
        file.read()


@as_root
def test_the_owner_and_the_group_stay(file):
    os.chown(file.path, NOBODY, NOBODY)

    file.write(file.read())

    found = file.path.stat()
    assert file.text() != TEXT
    assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY)
    assert stat.S_IMODE(found.st_mode) == 0o640


@as_root
def test_a_file_that_its_reader_would_lose(file, monkeypatch):
    os.chown(file.path, NOBODY, NOBODY)

    def refuse(*arguments):
        raise PermissionError

    monkeypatch.setattr(model_config_file.os, "chown", refuse)

    with (
        pytest.raises(PermissionError, match=f"; group {NOBODY}, who can read it now"),
        file.replacing(file.read()),
    ):
        pytest.fail("it should have been found out before")

    assert file.text() == TEXT
    assert list(file.path.parent.iterdir()) == [file.path]


@pytest.mark.parametrize(
    ("before", "after", "reader"),
    [
        pytest.param((0o600, 7, 8), (0o600, 7, 8), "", id="same"),
        pytest.param((0o644, 7, 8), (0o644, 1, 2), "", id="all read it"),
        pytest.param((0o640, 7, 8), (0o640, 7, 2), "group 8", id="other group"),
        pytest.param((0o600, 7, 8), (0o600, 7, 2), "", id="group of no reader"),
        pytest.param((0o640, 7, 8), (0o640, 1, 8), "user 7", id="other owner"),
        pytest.param((0o640, 0, 8), (0o640, 1, 8), "", id="root reads all"),
    ],
)
def test_who_would_lose_it(before, after, reader, monkeypatch):
    monkeypatch.setattr(model_config_file, "_is_member", lambda user, group: False)

    assert _shut_out(state(*before), state(*after)) == reader


def test_an_owner_of_the_same_group_reads_on(monkeypatch):
    entry = SimpleNamespace(pw_name="seven", pw_gid=1)
    monkeypatch.setattr(model_config_file.pwd, "getpwuid", lambda user: entry)
    monkeypatch.setattr(
        model_config_file.os, "getgrouplist", lambda name, group: [group, 8]
    )

    assert _shut_out(state(0o640, 7, 8), state(0o640, 1, 8)) == ""
    assert _shut_out(state(0o600, 7, 8), state(0o600, 1, 8)) == "user 7"

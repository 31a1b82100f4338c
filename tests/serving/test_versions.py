"""Versions on a file system."""

import os

import pytest

from serving.versions import find_versions, fingerprint


@pytest.fixture
def version(tmp_path):
    def make(name, *, complete=True):
        (tmp_path / name).mkdir()
        if complete:
            (tmp_path / name / "saved_model.pb").write_bytes(b"x")

    return make


def test_only_complete_integer_folders_are_versions(tmp_path, version):
    for name in ("1", "0012", "1700000000", "v3", "-4", "4.5", "99999999999999999999"):
        version(name)
    version("20", complete=False)
    (tmp_path / "5").write_text("a file")

    found = find_versions(tmp_path)

    assert found == find_versions(str(tmp_path))
    assert found.versions == {
        1: str(tmp_path / "1"),
        12: str(tmp_path / "0012"),
        1700000000: str(tmp_path / "1700000000"),
    }
    assert found.problem == ""


def test_a_name_that_is_no_utf_8_hides_nothing(tmp_path, version):
    version("1")
    (tmp_path / os.fsdecode(b"\xff")).mkdir()

    assert find_versions(tmp_path).versions == {1: str(tmp_path / "1")}

    (tmp_path / "1" / os.fsdecode(b"\xff")).write_text("a file")
    assert fingerprint(str(tmp_path / "1")) == frozenset()


def test_why_there_is_none(tmp_path, version):
    missing = find_versions(tmp_path / "none")
    assert (missing.versions, "none is no directory" in missing.problem) == ({}, True)

    version("latest")
    assert "no sub-folder whose name is a version number" in (
        find_versions(tmp_path).problem
    )

    version("3", complete=False)
    assert "no saved_model.pb yet in 3" in find_versions(tmp_path).problem


def test_the_fingerprint_changes_with_the_files(tmp_path, version):
    version("1")
    path = str(tmp_path / "1")
    first = fingerprint(path)
    assert first == fingerprint(path)

    (tmp_path / "1" / "variables").mkdir()
    (tmp_path / "1" / "variables" / "data").write_bytes(b"abc")
    assert fingerprint(path) != first
    assert fingerprint(str(tmp_path / "none")) == frozenset()

"""What counts as another state of the code."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

from pipeline.benchmark.training import RESULT_CODE
from pipeline.code_digest import TRAINING_CODE, code_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a package `sold`, with a module and a package in it."""
    folder = tmp_path / "sold"
    (folder / "models").mkdir(parents=True)
    for path in ("__init__.py", "price.py", "models/__init__.py"):
        (folder / path).write_text(f"# {path}\n")
    monkeypatch.syspath_prepend(tmp_path)
    # To look for a module imports its package.
    monkeypatch.delitem(sys.modules, "sold", raising=False)
    return folder


def test_all_sources_of_a_package_count(package):
    found = [code_digest("sold")]
    (package / "models" / "__init__.py").write_text("# other\n")
    found.append(code_digest("sold"))
    (package / "models" / "new.py").touch()
    found.append(code_digest("sold"))
    (package / "models" / "new.py").rename(package / "models" / "newer.py")
    found.append(code_digest("sold"))
    assert len(set(found)) == 4


def test_nothing_else_counts(package):
    before = code_digest("sold", "sold.price")
    (package / "notes.txt").write_text("other")
    (package / "price.py").touch()
    assert code_digest("sold.price", "sold") == before


def test_of_a_module_its_file_counts(package):
    before = code_digest("sold.price")
    (package / "models" / "__init__.py").write_text("# other\n")
    assert code_digest("sold.price") == before
    (package / "price.py").write_text("# other\n")
    assert code_digest("sold.price") != before


def test_it_is_the_same_wherever_the_code_is_installed(package, tmp_path, monkeypatch):
    before = code_digest("sold")
    (tmp_path / "elsewhere").mkdir()
    package.rename(tmp_path / "elsewhere" / "sold")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert code_digest("sold") == before


def test_code_that_is_not_there_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"found none: pipeline\.nothing"):
        code_digest("pipeline.nothing")


@pytest.mark.parametrize("code", [TRAINING_CODE, RESULT_CODE])
def test_what_such_code_imports_is_such_code(code):
    found = set()
    for name in code:
        if name.startswith(("pipeline.", "serving.")):
            tree = ast.parse(Path(importlib.util.find_spec(name).origin).read_text())
            nodes = [
                node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
            ]
            found |= {node.module for node in nodes}
    ours = {name for name in found if name.startswith(("pipeline.", "serving."))}
    assert ours <= set(code)
    assert "serving.export" in ours

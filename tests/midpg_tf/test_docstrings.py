"""Docstrings: their examples run, and their defaults are the code's."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from types import ModuleType
from typing import Any

import pytest

import midpg_tf
from midpg_tf.spec.section import Section

MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(midpg_tf.__path__, "midpg_tf.")
]
EXAMPLES = [
    pytest.param(test, module, id=test.name)
    for module in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(module)
    if test.examples
]
SECTIONS = [
    *("Args", "Attributes", "Input shape", "Output shape", "Result", "Returns"),
    *("Raises", "References", "Example"),
]
CLASSES = [
    each
    for module in MODULES
    for _, each in inspect.getmembers(module, inspect.isclass)
    if each.__module__ == module.__name__ and "Default" in (each.__doc__ or "")
]

FILE_SECTIONS = [
    each
    for module in MODULES
    for name, each in inspect.getmembers(module, inspect.isclass)
    if each.__module__ == module.__name__
    and issubclass(each, Section)
    and not name.startswith("_")
]


@pytest.mark.parametrize(("test", "module"), EXAMPLES)
def test_examples(test: doctest.DocTest, module: ModuleType) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner()
    test.globs.update(vars(module))
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_sections_are_in_one_order(module: ModuleType) -> None:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            doc = ast.get_docstring(node) or ""
            found = re.findall(r"^([A-Z][a-z]+(?: shape)?):$", doc, re.MULTILINE)
            assert found == sorted(found, key=SECTIONS.index), node.name


def test_layers_and_models_have_examples() -> None:
    names = {param.id for param in EXAMPLES}
    assert {
        "midpg_tf.layers.weighting_matrix.WeightingMatrix",
        "midpg_tf.layers.modulated_dense.ModulatedDense",
        "midpg_tf.models.midpg.MIDPG",
        "midpg_tf.models.mlp.MLP",
    } <= names


def documented(doc: str) -> dict[str, str]:
    """By argument, what a Google docstring's Args say of it."""
    arguments = re.search(r"Args:\n(.*?)(?:\n\n\S|\n *\n *[A-Z]\w.*:\n|\Z)", doc, re.S)
    if not arguments:
        return {}
    return dict(
        re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", arguments[1], re.S | re.M)
    )


def documented_defaults(doc: str) -> dict[str, str]:
    """By argument, what follows "Default" in a Google docstring's Args."""
    found = {}
    for name, text in documented(doc).items():
        default = re.search(r"\bDefault\s+(`[^`]+`|True|False|[\d.,e\s-]*\d)", text)
        if default:
            found[name] = default[1].strip("`")
    return found


def actual_defaults(each: type) -> dict[str, Any]:
    if hasattr(each, "model_fields"):
        fields = each.model_fields.items()
        return {field.alias or name: field.default for name, field in fields}
    parameters = inspect.signature(each.__init__).parameters.items()
    return {name: parameter.default for name, parameter in parameters}


def value_of(text: str, actual: Any) -> Any:
    if isinstance(actual, str):
        return text
    if isinstance(actual, tuple):
        return tuple(int(part) for part in text.split(","))
    return ast.literal_eval(text.replace(",", ""))


@pytest.mark.parametrize("each", CLASSES, ids=lambda each: each.__name__)
def test_defaults(each: type) -> None:
    actual = actual_defaults(each)
    for name, text in documented_defaults(inspect.getdoc(each)).items():
        assert value_of(text, actual[name]) == actual[name], name


@pytest.mark.parametrize("section", FILE_SECTIONS, ids=lambda each: each.__name__)
def test_a_data_set_file_s_defaults_are_told(section: type[Section]) -> None:
    told: dict[str, str] = {}
    for each in reversed(section.__mro__):
        told |= documented(inspect.getdoc(each) or "")
    for name, field in section.model_fields.items():
        # None stands for none at all; a section tells its own.
        if field.is_required() or isinstance(field.default, Section | None):
            continue
        assert "Default" in told[field.alias or name], name


def test_defaults_are_found() -> None:
    # Guards the pattern above: it must not pass by finding nothing.
    assert documented_defaults(inspect.getdoc(midpg_tf.MIDPG)) == {
        "rank": "8",
        "activation": "linear",
        "mi_weight": "0.01",
        "estimator": "barber_agakov",
        "modulated": "all",
        "decomposition": "both",
        "context": "8",
        "auxiliary": "32",
        "matrix_l2": "1e-5",
    }
    assert sum(bool(documented_defaults(inspect.getdoc(c))) for c in CLASSES) >= 12

"""What pydantic finds wrong with a data-set file, in the words of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from midpg_tf.spec.errors import shown

_MAPPINGS = {
    "label": "{name: bought}",
    "data": "{format: csv, path: rows.csv}",
    "data.split": "{by: time, column: shown_at}",
    "features": "{country: {kind: categorical}}",
    "features.*": "{kind: categorical}",
    "model": "{name: midpg}",
    "baseline": "{name: mlp}",
}
"""An example of the mapping that belongs at a place in the file."""

_EXPECTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_pattern_mismatch": "letters, digits, - and _, a letter or a digit first",
}
"""What is expected where pydantic has other words, by the type of its error."""

_NAME = ("[key]",)
"""The end of pydantic's location of a mapping's key, such as a feature's name."""


def explain(file: Path, content: Any, error: ValidationError) -> str:
    """One line a problem: file, key, what was expected and what was found.

    Args:
        file: The file.
        content: What is in it.
        error: What pydantic finds wrong with the content.
    """
    lines = []
    for problem in error.errors():
        keys = _keys(content, problem["loc"])
        if problem["type"] == "missing":
            keys.append(str(problem["loc"][-1]))
        elif problem["type"] == "union_tag_invalid":
            keys.append(problem["ctx"]["discriminator"].strip("'"))
        if problem["loc"][-1:] == _NAME:
            keys.pop()
        is_feature = len(keys) == 2 and keys[0] == "features"
        example = _MAPPINGS.get("features.*" if is_feature else ".".join(keys))
        message = describe(problem, example)
        lines.append(": ".join(filter(None, [str(file), ".".join(keys), message])))
    return "\n".join(lines)


def describe(problem: ErrorDetails, mapping: str | None = None) -> str:
    """What was expected, and what was found.

    Args:
        problem: One of pydantic's errors.
        mapping: An example of a mapping, where one is expected.
    """
    found, context = problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "value_error":
            return problem["msg"].removeprefix("Value error, ")
        case "missing":
            return "expected a value, found none; add this key"
        case "union_tag_not_found":
            return f"expected the key {context['discriminator']}, found none; add it"
        case "union_tag_invalid":
            expected = " or ".join(context["expected_tags"].rsplit(", ", 1))
            found = found[context["discriminator"].strip("'")]
        case "model_type" | "model_attributes_type" | "dict_type":
            expected = "a mapping" + (f", such as {mapping}" if mapping else "")
        case "tuple_type" | "is_instance_of":
            is_item = isinstance(found, str | int | float)
            expected = "a list" + (f", such as [{found}]" if is_item else "")
        case "string_type" if problem["loc"][-1:] == _NAME:
            expected = "names that are text"
        case "too_short" | "string_too_short":
            noun = "item" if problem["type"] == "too_short" else "character"
            expected = f"at least {context['min_length']} {noun}"
        case _:
            words = problem["msg"].removeprefix("Input should be ")
            expected = _EXPECTED.get(problem["type"], words)
    # YAML takes a column `on`, `yes` or `no` for a boolean.
    is_unquoted = problem["type"] == "string_type" and isinstance(found, int | float)
    hint = "; put it in quotes" if is_unquoted else ""
    return f"expected {expected}, found {shown(found)}{hint}"


def _keys(content: Any, location: tuple[str | int, ...]) -> list[str]:
    """The file's keys on a pydantic location, which also names members of unions."""
    keys: list[str] = []
    tagged = None
    for step in location:
        # A union's tag comes before its keys, and one of these can have its name.
        is_new = isinstance(content, dict) and content is not tagged
        if is_new and step in (content.get("kind"), content.get("by")):
            tagged = content
            continue
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            continue
        keys.append(str(step))
    return keys

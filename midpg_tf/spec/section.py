"""The base of every section of a data-set file: immutable, and strict about keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from midpg_tf.spec.errors import did_you_mean, shown


class Section(BaseModel):
    """A mapping of the file. Unknown keys are errors; values can't change later.

    Flags are no numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _check_keys(
        cls, content: Any, validate: ModelWrapValidatorHandler[Self]
    ) -> Self:
        # Pydantic's own message for this doesn't say which keys there are.
        if not isinstance(content, dict):
            return validate(content)
        fields = {field.alias or key: field for key, field in cls.model_fields.items()}
        problems = list(_problems(content, fields))
        if not problems:
            return validate(content)
        # What else is wrong is told, too.
        told = {problem["loc"] for problem in problems}
        rest = [key for key in fields if key in content and (key,) not in told]
        try:
            validate({key: content[key] for key in rest})
        except ValidationError as error:
            problems += [
                _detail(one["type"], one["loc"], one["input"], one.get("ctx", {}))
                for one in error.errors()
            ]
        raise ValidationError.from_exception_data(cls.__name__, problems)


Column = Annotated[str, Field(min_length=1)]
"""The name of a column."""


def is_remote(path: str) -> bool:
    """Whether a path is on another file system, as in `gs://bucket/rows.csv`."""
    return "://" in path


def _local(path: str) -> str:
    if is_remote(path):
        raise ValueError(f"expected a local path, found {path!r}; copy it here first")
    return path


LocalPath = Annotated[str, AfterValidator(_local)]
"""A path that is read without Beam."""


def _problems(
    content: Mapping[Any, Any], fields: Mapping[str, FieldInfo]
) -> Iterator[InitErrorDetails]:
    """What pydantic would take, or tell in words that help less."""
    try:
        refuse_unknown(content, fields)
    except ValueError as error:
        yield _detail("value_error", (), content, {"error": error})
    for key, field in fields.items():
        try:
            refuse_flags(content.get(key), field.annotation)
        except ValueError as error:
            yield _detail("value_error", (key,), content[key], {"error": error})


def _detail(
    kind: str, location: tuple[int | str, ...], found: Any, context: dict[str, Any]
) -> InitErrorDetails:
    return InitErrorDetails(type=kind, loc=location, input=found, ctx=context)


def refuse_flags(found: Any, expected: Any) -> None:
    """Raises ValueError if `found` is, or lists, a flag where numbers are expected.

    To pydantic, true is the number 1, and YAML reads `yes` and `on` as true, too.

    Args:
        found: The value.
        expected: Its type.
    """
    takes_numbers = not {int, float}.isdisjoint((expected, *get_args(expected)))
    values = found if isinstance(found, list | tuple) else [found]
    if takes_numbers and any(isinstance(value, bool) for value in values):
        raise ValueError(f"expected a number, found {shown(found)}")


def refuse_unknown(found: Iterable[Any], known: Iterable[str]) -> None:
    """Raises ValueError, with those of `found` that aren't among `known`."""
    known = sorted(known)
    unknown = [
        f"the unknown key {key!r}{did_you_mean(str(key), known)}"
        for key in found
        if key not in known
    ]
    if unknown:
        raise ValueError(f"expected keys out of {known}, found {' and '.join(unknown)}")

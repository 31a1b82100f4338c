"""What a data-set file may hold, told by the code that reads it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

from docstring_parser import google
from docstring_parser.common import Docstring
from pydantic.fields import FieldInfo

from midpg_tf.models.ranking import RankingModel
from midpg_tf.models.registry import MODELS, hyperparameters, shared_hyperparameters
from midpg_tf.spec import DatasetSpec, did_you_mean
from midpg_tf.spec.section import Section

# Without these, the parser takes them for more of the arguments.
_PARSER = google.GoogleParser(
    [
        *google.DEFAULT_SECTIONS,
        *(
            google.Section(title, title, google.SectionType.SINGULAR)
            for title in ("Input shape", "Output shape", "References")
        ),
    ]
)


class Key(NamedTuple):
    """A key of the file.

    Attributes:
        path: Its name behind those of the sections around it, as `gates.auc.min`.
        required: Whether the file must have it.
        meaning: What its docstring says, defaults included.
    """

    path: str
    required: bool
    meaning: str


class Part(NamedTuple):
    """A section of the file, or one form of a section that has several.

    Attributes:
        path: As of a `Key`; empty for the whole file.
        form: What tells it from the section's other forms, as `by: time`, or "".
        about: The first line of its docstring.
        keys: Its keys.
    """

    path: str
    form: str
    about: str
    keys: list[Key]


def spec_keys(path: str = "") -> list[Part]:
    """The parts of the file, or those at or below a path.

    Args:
        path: Of a section or a key, as `gates` or `gates.auc.min`, or of a model, as
            `model.midpg`. Default: the whole file, without what a model alone has.

    Raises:
        ValueError: If nothing is called that.
    """
    parts = [*_parts("", DatasetSpec), _shared_part()]
    models = {f"model.{name}": name for name in MODELS}
    if path in models:
        return [_model_part(path, models[path]), parts[-1]]
    if not path:
        return parts
    at_or_below = [part for part in parts if _is_within(part.path, path)]
    if at_or_below:
        return at_or_below
    holders = [
        part._replace(keys=[key for key in part.keys if key.path == path])
        for part in parts
    ]
    found = [part for part in holders if part.keys]
    if not found:
        known = [*models, *(key.path for part in parts for key in part.keys)]
        raise ValueError(
            f"expected a key of the data-set file, found {path!r}"
            f"{did_you_mean(path, known)}"
        )
    return found


def _is_within(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.")


def _parts(path: str, section: type[Section]) -> Iterator[Part]:
    """The section, then those in it."""
    told = _descriptions(section.__mro__)
    keys, below, form = [], [], ""
    for field_name, field in section.model_fields.items():
        name = field.alias or field_name
        if len(_choices(field)) == 1:
            form = f"{name}: {_choices(field)[0]}"
            continue
        key = _join(path, name)
        keys.append(Key(key, field.is_required(), told[name]))
        inner = f"{key}.NAME" if get_origin(field.annotation) is dict else key
        below += [(inner, each) for each in _sections(field.annotation)]
    yield Part(path, form, _parse(section).short_description or "", keys)
    for inner, each in below:
        yield from _parts(inner, each)


def _choices(field: FieldInfo) -> tuple[str, ...]:
    """The values of a field that takes no others, of which a form's name has one."""
    is_choice = get_origin(field.annotation) is Literal
    return get_args(field.annotation) if is_choice else ()


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for each in get_args(annotation) for found in _sections(each)]


def _shared_part() -> Part:
    name = Key(
        "model.name",
        True,
        f"One of {', '.join(sorted(MODELS))}. What one of them alone has is told of"
        " `model.midpg`, and so on.",
    )
    shared = _settings("model", RankingModel, shared_hyperparameters())
    return Part("model", "", "What all models take.", [name, *shared])


def _model_part(path: str, name: str) -> Part:
    own = [key for key in hyperparameters(name) if key not in shared_hyperparameters()]
    model = MODELS[name]
    return Part(
        path, "", _parse(model).short_description or "", _settings("model", model, own)
    )


def _settings(path: str, model: type[RankingModel], names: Iterable[str]) -> list[Key]:
    told = _descriptions(model.__mro__)
    return [Key(_join(path, name), False, told[name]) for name in names]


def _descriptions(classes: Iterable[type]) -> dict[str, str]:
    """By argument, what the first of the classes to name it says of it."""
    found: dict[str, str] = {}
    for each in classes:
        for argument in _parse(each).params:
            text = argument.description or ""
            found.setdefault(argument.arg_name, " ".join(text.split()))
    return found


def _parse(each: type) -> Docstring:
    # Not `inspect.getdoc`, which takes a base's for that of a class without one.
    return _PARSER.parse(inspect.cleandoc(each.__doc__ or ""))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

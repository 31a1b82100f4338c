"""Which models are compared, all with the same settings of the data-set file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from midpg_tf.models import MODELS, RankingModel
from midpg_tf.models.registry import defaults
from midpg_tf.spec import DatasetSpec, ModelSpec
from pipeline.trainer import count_parameters

_MOST_OFF = 0.1
"""Share of a budget by which a model may be off."""

Vocabularies = Mapping[str, Sequence[str]]


class Contender(NamedTuple):
    """A model in the comparison.

    Attributes:
        name: What the report calls it.
        model: The model, and what its settings differ in from the file's `model`.
    """

    name: str
    model: ModelSpec


def contender(spec: DatasetSpec, name: str) -> Contender:
    """A model with the file's settings.

    The file's `model` and `baseline` bring their own settings. Each other model
    inherits those of `model` that all models have, as the baseline does.

    Args:
        spec: The description.
        name: Of the model.

    Raises:
        ValueError: If there is no such model.
    """
    check_name(name)
    for own in (spec.model, spec.baseline):
        if own.name == name:
            return Contender(name, own)
    return Contender(name, ModelSpec(name=name))


def check_name(name: str) -> None:
    """Raises ValueError if there is no such model."""
    if name not in MODELS:
        raise ValueError(f"expected models out of {sorted(MODELS)}, found {name!r}")


def resolved(spec: DatasetSpec, model: ModelSpec) -> dict[str, Any]:
    """All settings of a model: those of the file, and its constructors' defaults."""
    return {"name": model.name, **defaults(model.name), **spec.settings(model)}


def dense_parameters(model: RankingModel) -> int:
    """Number of trainable parameters behind the features' embeddings."""
    return count_parameters(model) - count_parameters(model.embedding)


def hidden_parameters(model: RankingModel) -> int:
    """Number of parameters of the hidden layers of a plain network of these widths."""
    widths = [model.embedding.width, *model.hidden]
    return sum((inputs + 1) * units for inputs, units in itertools.pairwise(widths))


def with_budget(
    spec: DatasetSpec, one: Contender, target: int, vocabularies: Vocabularies
) -> Contender:
    """Scales the hidden layers' widths by a common factor to a number of parameters.

    Args:
        spec: The description.
        one: The model.
        target: Number of trainable parameters behind the embeddings.
        vocabularies: As for `DatasetSpec.build_model`.

    Returns:
        The model whose number is the closest; its layers have at least one unit.

    Raises:
        ValueError: If it has no hidden layers, or no widths come within a tenth of the
            number.
    """
    widths = resolved(spec, one.model)["hidden"]
    if not widths:
        raise ValueError(
            f"{one.name}: expected hidden layers, whose widths are to be scaled to a"
            " number of parameters, found none; compare models by --budget widths"
        )
    tried: dict[tuple[int, ...], int] = {}

    def parameters(factor: float) -> int:
        hidden = tuple(max(1, round(width * factor)) for width in widths)
        if hidden not in tried:
            # In a graph of its own, where no weight is drawn.
            with tf.Graph().as_default():
                built = spec.build_model(_with_hidden(one.model, hidden), vocabularies)
            tried[hidden] = dense_parameters(built)
        return tried[hidden]

    low, high = 0.0, 1.0
    while parameters(high) < target:
        low, high = high, 2 * high
    # Until neighbouring factors round to the same widths.
    while (high - low) * max(widths) > 1 / 4:
        middle = (low + high) / 2
        low, high = (middle, high) if parameters(middle) < target else (low, middle)
    closest = min(tried, key=lambda hidden: abs(tried[hidden] - target))
    if abs(tried[closest] - target) > _MOST_OFF * target:
        raise ValueError(
            f"{one.name}: expected some {target:,} parameters behind the embeddings,"
            f" found {tried[closest]:,} with hidden layers of {list(closest)}, the"
            " closest; compare models by --budget widths, or give the baseline wider"
            " layers"
        )
    return one._replace(model=_with_hidden(one.model, closest))


def _with_hidden(model: ModelSpec, hidden: tuple[int, ...]) -> ModelSpec:
    return ModelSpec(name=model.name, **model.settings | {"hidden": hidden})

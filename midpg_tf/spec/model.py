"""Which model is trained, with which hyperparameters, and how it is fitted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from midpg_tf.models.registry import MODELS, hyperparameters
from midpg_tf.spec.errors import shown
from midpg_tf.spec.problems import describe
from midpg_tf.spec.section import LocalPath, Section, refuse_flags, refuse_unknown


class ModelSpec(BaseModel):
    """A model by name, and its hyperparameters: its constructor's own arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters that the file gives."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _check_settings(cls, content: Any) -> Any:
        if not isinstance(content, dict) or "name" not in content:
            return content
        name, known = content["name"], sorted(MODELS)
        if name not in known:
            raise ValueError(f"expected a model out of {known}, found {shown(name)}")
        types = {"name": str, **hyperparameters(name)}
        refuse_unknown(content, types)
        # YAML 1.1 reads 1e-5 as text: convert, as pydantic does in other sections.
        return {key: _convert(key, value, types[key]) for key, value in content.items()}


def _convert(key: str, value: Any, expected: Any) -> Any:
    try:
        refuse_flags(value, expected)
        return TypeAdapter(expected).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0] | {"input": value}
        raise ValueError(f"{key}: {describe(problem)}") from None
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


class Training(Section):
    """How models are fitted: the same for candidate and baseline.

    Args:
        epochs: Most passes over the train split. Default 20.
        monitor: What early stopping watches on the eval split: `log_loss`, which asks
            for order and calibration, or `auc`, for order alone. Default `log_loss`.
        patience: Epochs without a better value before training stops; the best
            weights are restored. Default 3.
        batch_size: Rows a step. Default 1,024.
        learning_rate: Adam's. Default 1e-3.
        schedule: `constant`, or `cosine`: from epoch to epoch the rate falls along a
            cosine, to 0 behind the last of `epochs`. Default `constant`.
        unregularized_epochs: How many of the first epochs are without regularisation,
            of which much can otherwise keep a model from learning anything (see
            `midpg_tf.callbacks.RegularizationDelay`). A warm start has none. Default 0.
        seed: Seed of initialisation, order of rows and dropout. Default 2022.
        warm_start: The folder of an earlier training run with the same model and
            features (the candidate's artifact `model_run`), whose weights the
            candidate starts from. It mustn't have trained on rows that are test rows
            here, or the candidate looks too good; a test split by time that starts no
            earlier, or the same split by a hash of `columns`, keeps them apart (rows
            without a value in these, as long as features are the same). The baseline
            always starts anew. Default: none.
    """

    epochs: PositiveInt = 20
    monitor: Literal["log_loss", "auc"] = "log_loss"
    patience: PositiveInt = 3
    batch_size: PositiveInt = 1024
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    unregularized_epochs: NonNegativeInt = 0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 2022
    warm_start: LocalPath | None = None

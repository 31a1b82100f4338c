"""The description of a data set: the single source of what everything else derives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import tensorflow as tf
import yaml
from pydantic import Field, ValidationError, model_validator

from midpg_tf.layers.inputs import FeatureInput
from midpg_tf.models.ranking import RankingModel
from midpg_tf.models.registry import MODELS, shared_hyperparameters
from midpg_tf.spec.errors import SpecError
from midpg_tf.spec.features import (
    FeatureSpec,
    MultivaluedFeature,
    NumericFeature,
    VocabularyFeature,
)
from midpg_tf.spec.gates import Gates
from midpg_tf.spec.label import Label
from midpg_tf.spec.model import ModelSpec, Training
from midpg_tf.spec.problems import explain
from midpg_tf.spec.section import Column, Section, is_remote
from midpg_tf.spec.source import DataSource

_INPUT = "examples"


class DatasetSpec(Section):
    """A data set, its scenarios, the models to train on it, and the gates to pass.

    Load one with `DatasetSpec.load("data.yaml")`; the YAML's keys are the arguments.

    Args:
        name: Letters, digits, `-` and `_`; also the served model's name.
        data: Where the rows are and how they are split.
        label: What is predicted.
        weight: A column with each row's weight in loss and metrics. Default: 1 each.
        scenario: Categorical features whose combination is the scenario.
        features: The features by column name.
        model: The candidate. Default: `midpg` with its own defaults.
        baseline: The in-run baseline. Default: `mlp`. It inherits those settings of
            `model` that all models have, so that the two are comparable; all of them if
            it is of the same name.
        training: How both are fitted.
        gates: What the candidate must hold.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    data: DataSource
    label: Label
    weight: Column | None = None
    scenario: Annotated[tuple[str, ...], Field(min_length=1)]
    features: Annotated[dict[Column, FeatureSpec], Field(min_length=1)]
    model: ModelSpec = ModelSpec(name="midpg")
    baseline: ModelSpec = ModelSpec(name="mlp")
    training: Training = Training()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _check_scenario(self) -> Self:
        for field in self.scenario:
            self._check_categorical("scenario", field)
        if len(set(self.scenario)) < len(self.scenario):
            raise ValueError(
                f"scenario: expected each field once, found {list(self.scenario)}"
            )
        return self

    @model_validator(mode="after")
    def _check_resampling(self) -> Self:
        if self.gates.resample_by is not None:
            self._check_categorical("gates.resample_by", self.gates.resample_by)
        return self

    @model_validator(mode="after")
    def _check_roles(self) -> Self:
        for role, column in (
            ("label", self.label.name),
            ("label", self.label.column),
            ("weight", self.weight),
        ):
            if column in self.features:
                raise ValueError(
                    f"{role}: expected a column that is no feature, found {column!r};"
                    " as a feature it would give the label away"
                )
        if self.weight == self.label.name:
            raise ValueError(
                f"weight: expected a column that isn't the label, found {self.weight!r}"
            )
        # TensorFlow Model Analysis would give the model this column for its input.
        if _INPUT in (*self.features, *self.targets):
            raise ValueError(
                f"expected another name of a column than {_INPUT!r}, since the served"
                " model's input has it; rename the column"
            )
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads and validates a YAML file; relative paths in it become absolute.

        Args:
            path: The file.

        Raises:
            SpecError: If the file can't be read, or anything in it is off. The
                message has a line a problem: file, key, expected and found.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            content = yaml.load(text, _Loader)  # noqa: S506 (it is a SafeLoader)
        except OSError as error:
            raise SpecError(
                f"{path}: expected a data-set file, found {error.strerror or error}"
            ) from error
        except (yaml.YAMLError, ValueError) as error:
            # What YAML calls the text is no name that anybody gave it.
            found = str(error).replace('"<unicode string>", ', "")
            raise SpecError(f"{path}: expected YAML, found {found}") from error
        if not isinstance(content, dict):
            raise SpecError(
                f"{path}: expected a mapping with the keys {list(cls.model_fields)},"
                f" found {type(content).__name__}"
            )
        try:
            spec = cls.model_validate(content)
        except ValidationError as error:
            raise SpecError(explain(path, content, error)) from error
        return spec._resolve(path.resolve().parent)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """The description as JSON, for components and workers."""
        return self.model_dump_json(by_alias=True)

    def inputs(self, vocabularies: Mapping[str, Sequence[str]]) -> list[FeatureInput]:
        """The models' inputs.

        Args:
            vocabularies: The values of each categorical or multivalued feature, in
                the order of their ids.
        """
        return [
            feature.to_input(name)
            if isinstance(feature, NumericFeature)
            else feature.to_input(
                name, vocabularies[name], is_scenario=name in self.scenario
            )
            for name, feature in self.features.items()
        ]

    def settings(self, model: ModelSpec) -> dict[str, Any]:
        """Hyperparameters of a model.

        Args:
            model: The model.

        Returns:
            Keyword arguments of the model's constructor: those that the file gives,
            and those of `self.model` that all models have, or all of them for a model
            of its name. Another model's own may have the same name and mean something
            else: the rank of MI-DPG's weights is none of APG's kernels.
        """
        if model.name == self.model.name:
            return self.model.settings | model.settings
        shared = shared_hyperparameters()
        inherited = {k: v for k, v in self.model.settings.items() if k in shared}
        return inherited | model.settings

    def build_model(
        self, model: ModelSpec, vocabularies: Mapping[str, Sequence[str]]
    ) -> RankingModel:
        """A model with new weights.

        Args:
            model: The model.
            vocabularies: As for `inputs`.
        """
        return MODELS[model.name](
            features=self.inputs(vocabularies),
            scenario=self.scenario,
            **self.settings(model),
        )

    def check_model(self, model: ModelSpec) -> None:
        """Raises SpecError if a model can't be built with its settings.

        Args:
            model: As of `build_model`. What is wrong is known before there are rows.
        """
        values = dict.fromkeys(self.vocabulary_features, ("0", "1"))
        try:
            # In a graph of its own, where no weight is drawn.
            with tf.Graph().as_default():
                self.build_model(model, values)
        except (TypeError, ValueError) as error:
            raise SpecError(f"model {model.name}: {error}") from error

    @property
    def targets(self) -> tuple[str, ...]:
        """The label, and the weight if there is one."""
        return tuple(name for name in (self.label.name, self.weight) if name)

    @property
    def multivalued(self) -> frozenset[str]:
        """Names of the multivalued features."""
        return frozenset(
            name
            for name, feature in self.features.items()
            if isinstance(feature, MultivaluedFeature)
        )

    @property
    def vocabulary_features(self) -> dict[str, VocabularyFeature]:
        """The features that need a vocabulary, by name."""
        return {
            name: feature
            for name, feature in self.features.items()
            if isinstance(feature, VocabularyFeature)
        }

    def _check_categorical(self, key: str, name: str) -> None:
        if name not in self.features:
            raise ValueError(
                f"{key}: expected the name of a feature, found {name!r}, which is none"
                f" of {sorted(self.features)}; add it under features"
            )
        kind = self.features[name].kind
        if kind != "categorical":
            raise ValueError(
                f"{key}: expected a categorical feature, found {name!r} of kind"
                f" {kind!r}"
            )

    def _resolve(self, folder: Path) -> Self:
        def absolute(path: str | None) -> str | None:
            return str(folder / path) if path and not is_remote(path) else path

        data = self.data.model_copy(
            update={
                "path": absolute(self.data.path),
                "schema_file": absolute(self.data.schema_file),
            }
        )
        training = self.training.model_copy(
            update={"warm_start": absolute(self.training.warm_start)}
        )
        return self.model_copy(update={"data": data, "training": training})


class _Loader(yaml.SafeLoader):
    """Of two values of a key, YAML's own loader takes the second, and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} twice; remove one of them",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# No setting is a date. What looks like one is text, such as a label's `equals`.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)

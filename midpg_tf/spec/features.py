"""The kinds of feature that a data-set file can name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from midpg_tf.layers.inputs import CategoricalInput, NumericInput
from midpg_tf.spec.section import Section


class VocabularyFeature(Section):
    """What is looked up in a vocabulary of the train split's values.

    Args:
        min_count: Values seen less often in the train split share the out-of-vocabulary
            buckets. A row that has a value of a multivalued feature twice counts twice.
            Default 1: all values are kept.
        oov_buckets: Number of ids for values out of the vocabulary. Default 1.
        embedding: Width of the embedding. Default 16.
    """

    min_count: PositiveInt = 1
    oov_buckets: PositiveInt = 1
    embedding: PositiveInt = 16

    def to_input(
        self, name: str, vocabulary: Sequence[str], *, is_scenario: bool = False
    ) -> CategoricalInput:
        """The model's input, given the values in the order of their ids.

        A field of the scenario keeps the values, for the names of metrics.
        """
        return CategoricalInput(
            name=name,
            cardinality=len(vocabulary) + self.oov_buckets,
            embedding=self.embedding,
            oov_buckets=self.oov_buckets,
            multivalued=isinstance(self, MultivaluedFeature),
            values=tuple(vocabulary) if is_scenario else (),
        )


class CategoricalFeature(VocabularyFeature):
    """One string a row, or an integer or a flag, taken as a string.

    A string with a line break is an unknown value, since a vocabulary is a file of
    lines; in a field of the scenario it is an error.
    """

    kind: Literal["categorical"]


class MultivaluedFeature(VocabularyFeature):
    """Any number of strings a row; their embeddings are averaged.

    Blanks around a string and strings that are empty are left out, in a list, too. A
    string with a line break is an unknown value, since a vocabulary is a file of lines.

    Args:
        separator: What parts the values in a CSV cell, or in a string given by a
            client. Default `|`.
    """

    kind: Literal["multivalued"]
    separator: str = Field(default="|", min_length=1)


class NumericFeature(Section):
    """One number a row.

    Args:
        transform: `zscore`, zero mean and unit variance over the train split;
            `log`, the same after log(1 + max(x, 0)), for counts and amounts of money;
            `bucketize`, quantiles of the train split, then an embedding. Default
            `zscore`.
        buckets: Number of quantiles for `bucketize`. Default 10.
        embedding: Width of the embedding of a bucket. Default 8.
        default: What an empty cell stands for. Without it, one is an error.
    """

    kind: Literal["numeric"]
    transform: Literal["zscore", "log", "bucketize"] = "zscore"
    buckets: Annotated[int, Field(ge=2)] = 10
    embedding: PositiveInt = 8
    default: float | None = None

    def to_input(self, name: str) -> NumericInput | CategoricalInput:
        """The model's input: a number, or the id of a bucket."""
        if self.transform != "bucketize":
            return NumericInput(name=name)
        return CategoricalInput(
            name=name,
            cardinality=self.buckets,
            embedding=self.embedding,
            oov_buckets=0,
        )


FeatureSpec = Annotated[
    CategoricalFeature | MultivaluedFeature | NumericFeature,
    Field(discriminator="kind"),
]

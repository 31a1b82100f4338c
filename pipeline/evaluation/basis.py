"""What models must share to be compared on the same test rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from midpg_tf.spec import DatasetSpec, HashSplit, Split, TimeSplit
from midpg_tf.spec.label import Label
from pipeline.records import Record
from transform.splits import Moment
from transform.summary import Summary

_FEW_UNKEYED = 0.01
"""Share of the test rows that a model may know and still be compared on them."""

_LEAK = "so that it may have been trained on test rows of now"


class Basis(Record):
    """What a model was trained for, and what kept test rows from it.

    Attributes:
        label: What it predicts.
        weight: The column that weights rows, if any.
        split: How rows are split, but for what moves none into the test split.
        features: How features are read, if these split rows: those of a hash without
            columns, or more than a hundredth of the rows, without a value in any of
            these. Otherwise empty.
        test_start: Of a split by time, the first moment of the test split.
    """

    label: Label
    weight: str | None
    split: dict[str, Any]
    features: dict[str, Any]
    test_start: Moment | None

    @classmethod
    def of(cls, spec: DatasetSpec, summary: Summary) -> Self:
        """The basis of a run's models.

        Args:
            spec: The description.
            summary: What the ingestion found.
        """
        return cls(
            label=spec.label,
            weight=spec.weight,
            split=_split(spec.data.split),
            features=_features(spec, summary),
            test_start=summary.test_start,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """The basis as JSON, for the metadata store."""
        return self.model_dump_json(by_alias=True)

    def misses(self, label: Label, weight: str | None) -> Iterator[str]:
        """Why a model can't be judged on any rows of a label and a weight, if so.

        Args:
            label: What the rows' label is.
            weight: The column that weights them, if any.
        """
        if self.label != label:
            own = self.label.model_dump_json(by_alias=True, exclude_none=True)
            yield f"it was trained for another label, {own}"
        if self.weight != weight:
            yield f"it was trained with another weight, {self.weight or 'none'}"

    def obstacles(self, earlier: Basis) -> Iterator[str]:
        """Why an earlier model can't be judged on test rows of this basis, if so.

        Args:
            earlier: Of the earlier model.
        """
        yield from earlier.misses(self.label, self.weight)
        if earlier.split != self.split:
            yield f"rows were split in another way when it was trained, {_LEAK}"
        # Where just one has any, hardly a row was split by them both then and now.
        elif self.features and earlier.features not in ({}, self.features):
            yield (
                "it was trained with other features, which split the rows that have no"
                f" value in data.split.columns, {_LEAK}"
            )
        elif _starts_before(self.test_start, earlier.test_start):
            yield (
                f"test rows start at {self.test_start}, and when it was trained, they"
                f" started at {earlier.test_start}, {_LEAK}"
            )


def _split(split: Split) -> dict[str, Any]:
    # By time, where the test split starts says all that its share does.
    others = {"eval", "test"} if isinstance(split, TimeSplit) else {"eval"}
    return split.model_dump(mode="json", exclude=others)


def _features(spec: DatasetSpec, summary: Summary) -> dict[str, Any]:
    split = spec.data.split
    if not isinstance(split, HashSplit):
        return {}
    if split.columns and summary.unkeyed <= _FEW_UNKEYED * summary.rows():
        return {}
    encoding = {"kind", "separator", "default"}
    return {
        name: feature.model_dump(mode="json", include=encoding)
        for name, feature in spec.features.items()
    }


def _starts_before(start: Moment | None, earlier: Moment | None) -> bool:
    """Whether rows before the earlier start, train or eval rows then, are test rows.

    Dates can't be told to be before or after numbers, so that they may be.
    """
    if start is None or earlier is None:
        return False
    return start.is_date != earlier.is_date or start.value < earlier.value

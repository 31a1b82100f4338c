"""Rows as tf.Example: the same encoding for training files and for requests."""

from __future__ import annotations

import decimal
import math
import numbers
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from midpg_tf.names import EMPTY
from midpg_tf.spec.dataset import DatasetSpec
from midpg_tf.spec.errors import RowError
from midpg_tf.spec.features import MultivaluedFeature, NumericFeature

_MOST = float(tf.float32.max)
# The types of most cells, which need no look at what pandas or decimals are.
_PLAIN = (str, int, float, bytes, list)
_FLOATS = (float, np.floating)
# What CSV has for flags; pandas writes `True` and `False`.
_FLAGS = {"true": True, "false": False}


class ExampleEncoder:
    """Turns rows into tf.Example protos by a data-set description.

    Categorical features become one bytes value, multivalued ones any number of
    bytes values, numeric ones one float, as do label (0 or 1) and weight.

    Args:
        spec: The description.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        self.spec = spec

    def encode(
        self, row: Mapping[str, Any], *, with_label: bool = False
    ) -> tf.train.Example:
        """Encodes a row.

        Args:
            row: Values by column. Numbers may be text; categorical values may be
                integers, or flags, which become `true` and `false`; multivalued ones
                a list, or text with the separator, of which blanks around values and
                values that are empty are left out. Decimals are as `plain` has them.
                None is an empty cell, as pandas' NA and NaT are. Columns that the
                description doesn't name are ignored.
            with_label: Whether the row has the label, and the weight if the
                description names one. Default False, as in a request.

        Raises:
            RowError: If a column is missing, or of the wrong type.
        """
        example = tf.train.Example()
        # Filled in place, which takes half the time of making each part.
        features = example.features.feature
        for name, feature in self.spec.features.items():
            value = _cell(row, name)
            if isinstance(feature, NumericFeature):
                if is_empty(value):
                    value = _default(name, feature, value)
                features[name].float_list.value.append(_number(name, value))
            elif isinstance(feature, MultivaluedFeature):
                texts = features[name].bytes_list
                # No values are not a feature that is missing.
                texts.SetInParent()
                texts.value.extend(_texts(name, value, feature.separator))
            else:
                features[name].bytes_list.value.append(_text(name, value))
        if with_label:
            features[self.spec.label.name].float_list.value[:] = [self._label(row)]
            if self.spec.weight is not None:
                features[self.spec.weight].float_list.value[:] = [self._weight(row)]
        return example

    def scenario(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The scenario of a row to train on: each field's value, or `EMPTY` for none.

        Raises:
            RowError: If a field is missing or of the wrong type, isn't UTF-8, or has a
                line break: vocabularies, which are files of lines, leave it out, so
                that the scenario would be an unknown one however many rows it has.
        """
        values = []
        for name in self.spec.scenario:
            value = _text(name, _cell(row, name))
            try:
                text = value.decode()
            except UnicodeDecodeError as error:
                raise RowError(name, f"expected UTF-8, found {value!r}") from error
            if "\n" in text or "\r" in text:
                problem = f"expected text on one line, found {text!r}"
                raise RowError(name, f"{problem}; replace the line break")
            values.append(text or EMPTY)
        return tuple(values)

    def _label(self, row: Mapping[str, Any]) -> float:
        rule = self.spec.label.rule
        column = self.spec.label.column
        value = _present(row, column)
        if rule is not None and rule.equals is not None:
            if is_empty(value):
                raise RowError(
                    column,
                    f"expected {rule.equals!r} or another value, found {value!r}; fill"
                    " in what stands for a label of 0, or leave the row out",
                )
            return float(_text(column, value) == rule.equals.encode())
        if rule is not None and rule.greater_than is not None:
            return float(_number(column, value) > rule.greater_than)
        is_text = isinstance(value, str)
        flag = _FLAGS.get(value.strip().lower(), value) if is_text else value
        try:
            number = _number(column, flag)
        except RowError:
            number = math.nan
        if number not in (0.0, 1.0):
            raise RowError(column, f"expected a label of 0 or 1, found {value!r}")
        return number

    def _weight(self, row: Mapping[str, Any]) -> float:
        column = str(self.spec.weight)
        number = _number(column, _present(row, column))
        if number < 0:
            raise RowError(column, f"expected a weight of at least 0, found {number}")
        return number


def plain(value: Any) -> Any:
    """A value, with Python's own in place of a decimal and of pandas' NA and NaT.

    Databases export whole numbers, such as ids, as decimals without places: those are
    integers, and may be categories. All others are floats. NA and NaT are None.

    Args:
        value: Of a cell, or in the list that is in one.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, decimal.Decimal):
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent >= 0:
            return int(value)
        # float() refuses a NaN that signals.
        return math.nan if value.is_nan() else float(value)
    # Who has one of these has imported pandas, which this needs for nothing else.
    pandas = sys.modules.get("pandas")
    if pandas is not None and (value is pandas.NA or value is pandas.NaT):
        return None
    return value


def as_text(column: str, value: Any) -> bytes:
    """The text that a categorical feature has for a cell, empty for an empty one.

    Args:
        column: The column of the cell.
        value: Text, an integer, a flag, or a decimal without places.

    Raises:
        RowError: If it is none of them.
    """
    value = plain(value)
    return b"" if value is None else _text(column, value)


def is_empty(value: Any) -> bool:
    """Whether a cell has no value: None, the empty string or NaN.

    Args:
        value: Of a cell, as `plain` has it.
    """
    # Only text is compared with text: arrays would compare each of their elements.
    if isinstance(value, str):
        return not value
    return value is None or (isinstance(value, _FLOATS) and math.isnan(value))


def _present(row: Mapping[str, Any], column: str) -> Any:
    try:
        return plain(row[column])
    except KeyError:
        found = ", ".join(sorted(map(str, row))) or "nothing"
        raise RowError(column, f"expected this column, found {found}") from None


def _cell(row: Mapping[str, Any], column: str) -> Any:
    value = _present(row, column)
    return "" if value is None else value


def _default(column: str, feature: NumericFeature, value: Any) -> float:
    if feature.default is None:
        found = "an empty cell" if value == "" else repr(value)
        raise RowError(
            column,
            f"expected a finite number, found {found}; fill it in, or give the"
            " feature a default",
        )
    return feature.default


def _number(column: str, value: Any) -> float:
    if isinstance(value, str | numbers.Real):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if abs(number) <= _MOST:
            return number
    raise RowError(column, f"expected a finite number, found {value!r}")


def _text(column: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise RowError(column, f"expected Unicode text, found {value!r}") from error
    if isinstance(value, bool | np.bool_):
        return b"true" if value else b"false"
    if isinstance(value, numbers.Integral):
        return str(int(value)).encode()
    is_whole = isinstance(value, numbers.Real) and float(value).is_integer()
    hint = "; store ids as text or integers" if is_whole else ""
    raise RowError(
        column,
        f"expected text or an integer, found {value!r} ({type(value).__name__}){hint}",
    )


def _texts(column: str, value: Any, separator: str) -> list[bytes]:
    if isinstance(value, str):
        value = value.split(separator)
    if isinstance(value, bytes | Mapping) or not np.iterable(value):
        raise RowError(
            column, f"expected a list, or text with {separator!r}, found {value!r}"
        )
    return [text for part in value if (text := _part(column, part))]


def _part(column: str, value: Any) -> bytes:
    # Alike in a cell and in a list, or files of two formats would differ.
    value = value.strip() if isinstance(value, str | bytes) else plain(value)
    return b"" if value is None else _text(column, value)

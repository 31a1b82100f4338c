"""What a model takes: the names, shapes and sizes of its features."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Self

import tensorflow as tf
import tf_keras as keras

from midpg_tf.names import safe_name, scenario_name


@keras.saving.register_keras_serializable(package="midpg_tf")
@dataclasses.dataclass(frozen=True)
class CategoricalInput:
    """One id a row, or several: int64 of shape `(batch,)` or `(batch, any)`.

    The last `oov_buckets` ids are for values out of the vocabulary; TensorFlow
    Transform lays out its ids in this way. Rows of a multivalued input are padded
    with -1, or come as a `tf.RaggedTensor`, or as the values of a `tf.SparseTensor`.

    Args:
        name: Key in the dictionary of features.
        cardinality: Number of ids, out-of-vocabulary buckets included.
        embedding: Width of the embedding. Default 16.
        oov_buckets: How many of the ids are for unknown values. Default 1. A field
            of the scenario needs at least 1.
        multivalued: Whether a row has any number of ids. Their embeddings are
            averaged; a row without any gets zeros. Default False.
        values: What the known ids stand for, for the names of per-scenario metrics.
            Default: none, the ids name themselves.

    Raises:
        ValueError: If a size is not positive or not whole, no id is left for known
            values, or a value is there twice; `""` and `(empty)` have the same name.
    """

    name: str
    cardinality: int
    embedding: int = 16
    oov_buckets: int = 1
    multivalued: bool = False
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for size in ("cardinality", "embedding", "oov_buckets"):
            if not isinstance(getattr(self, size), Integral):
                raise ValueError(
                    f"input {self.name!r}: expected a whole number for {size}, found"
                    f" {getattr(self, size)!r}"
                )
        if self.oov_buckets < 0 or self.cardinality < self.oov_buckets:
            raise ValueError(
                f"input {self.name!r}: expected 0 <= oov_buckets <= cardinality, found"
                f" oov_buckets={self.oov_buckets}, cardinality={self.cardinality}"
            )
        if self.cardinality < 1 or self.embedding < 1:
            raise ValueError(
                f"input {self.name!r}: expected a positive cardinality and embedding,"
                f" found cardinality={self.cardinality}, embedding={self.embedding}"
            )
        # Keras' JSON gives lists back.
        object.__setattr__(self, "values", tuple(self.values))
        counts = Counter(scenario_name([str(value)]) for value in self.values)
        repeated = [value for value, count in counts.items() if count > 1]
        if repeated:
            raise ValueError(
                f"input {self.name!r}: expected each value once, found {repeated}"
                " several times"
            )
        if self.values and len(self.values) != self.known:
            raise ValueError(
                f"input {self.name!r}: expected a value for each of the {self.known}"
                f" known ids, found {len(self.values)}"
            )

    @property
    def known(self) -> int:
        """Number of ids that stand for values of the vocabulary."""
        return self.cardinality - self.oov_buckets

    @property
    def width(self) -> int:
        """Columns among the embedded features."""
        return self.embedding

    @property
    def spec(self) -> tf.TensorSpec:
        """Type and shape of a batch of any size, and a name that exports can have."""
        shape = [None, None] if self.multivalued else [None]
        return tf.TensorSpec(shape, tf.int64, name=safe_name(self.name))

    def get_config(self) -> dict[str, Any]:
        """The arguments, for Keras' serialisation."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="midpg_tf")
@dataclasses.dataclass(frozen=True)
class NumericInput:
    """One number a row: float32 of shape `(batch,)`, about zero mean, unit variance.

    Args:
        name: Key in the dictionary of features.
    """

    name: str

    @property
    def width(self) -> int:
        """Columns among the embedded features."""
        return 1

    @property
    def spec(self) -> tf.TensorSpec:
        """Type and shape of a batch of any size, and a name that exports can have."""
        return tf.TensorSpec([None], tf.float32, name=safe_name(self.name))

    def get_config(self) -> dict[str, Any]:
        """The arguments, for Keras' serialisation."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**config)


FeatureInput = CategoricalInput | NumericInput


def select(
    inputs: Sequence[FeatureInput], columns: Mapping[str, Any]
) -> dict[str, Any]:
    """The columns of a model's inputs, with ids that TensorFlow can look up.

    Args:
        inputs: The inputs.
        columns: By name; what is no input's is left out.

    Returns:
        By name: int32 and int64 ids as they are, those of other integer types as
        int64, sparse ones padded with -1, and numbers as they are.

    Raises:
        ValueError: If there is no dictionary, a column is missing, ids aren't integers,
            or a shape isn't `(batch,)` or `(batch, 1)`, of a multivalued input
            `(batch, any)`.
        tf.errors.InvalidArgumentError: If the latter shows only in a step.
    """
    if not isinstance(columns, Mapping):
        raise ValueError(
            f"expected a dictionary of columns, found a {type(columns).__name__}; of a"
            " DataFrame, give dict(df)"
        )
    missing = [item.name for item in inputs if item.name not in columns]
    if missing:
        raise ValueError(
            f"expected the features {[item.name for item in inputs]}, found"
            f" {sorted(columns)}; missing: {missing}"
        )
    return {item.name: _column(item, columns[item.name]) for item in inputs}


def check_features(features: Sequence[Any]) -> None:
    """Raises ValueError if something is no input, or two have the same name."""
    for item in features:
        if not isinstance(item, CategoricalInput | NumericInput):
            raise ValueError(
                "features: expected a CategoricalInput or NumericInput for each, found"
                f" {item!r}"
            )
    names = [item.name for item in features]
    if len(set(names)) < len(names):
        raise ValueError(f"features: expected each name once, found {names}")


def scenario_fields(
    inputs: Sequence[FeatureInput], scenario: Sequence[str]
) -> tuple[CategoricalInput, ...]:
    """The inputs whose combination is the scenario.

    Args:
        inputs: The inputs.
        scenario: Names of the fields.

    Raises:
        ValueError: If there is no field, one twice, or one that is no categorical
            input.
    """
    by_name = {item.name: item for item in inputs if isinstance(item, CategoricalInput)}
    for name in scenario:
        if name not in by_name:
            raise ValueError(
                "expected a scenario of categorical features, out of"
                f" {sorted(by_name)}, found {name!r}"
            )
    if not scenario or len(set(scenario)) < len(scenario):
        raise ValueError(
            "scenario: expected at least one field, and each once, found"
            f" {list(scenario)}"
        )
    return tuple(by_name[name] for name in scenario)


def serialized(inputs: Sequence[FeatureInput]) -> list[dict[str, Any]]:
    """What stands for inputs in the configuration of a layer or model."""
    return [keras.saving.serialize_keras_object(item) for item in inputs]


def deserialized(configs: Sequence[dict[str, Any]]) -> list[Any]:
    """The inverse of `serialized`.

    Of a SavedModel, Keras deserialises no list, and would make another class of what
    can't be read.
    """
    # Keras' HDF5 files don't keep the package of a class.
    classes = {one.__name__: one for one in (CategoricalInput, NumericInput)}
    return [
        keras.saving.deserialize_keras_object(item, custom_objects=classes)
        for item in configs
    ]


def one_a_row(expected: str, values: Any) -> Any:
    """Values that have the shape `(batch,)` or `(batch, 1)`.

    Args:
        expected: What the message begins with.
        values: A tensor. What its static shape leaves open is checked in a step.

    Returns:
        The same values.

    Raises:
        ValueError: If their static shape is another, or they are ragged or sparse.
    """
    expected = f"{expected}, of the shape (batch,) or (batch, 1), found"
    shape, found = values.shape, str(values.shape)
    rest = shape[1:].num_elements()
    if isinstance(values, tf.RaggedTensor | tf.SparseTensor):
        found = f"a {type(values).__name__} of {shape}"
    elif shape.rank == 0:
        found = "(); batch the data set, as in dataset.batch(256)"
    elif rest == 1:
        return values
    elif rest is None:
        # Keras leaves shapes open once it has met two of them.
        found = tf.shape(values)
        fits = tf.debugging.Assert(
            tf.size(values) == tf.reduce_prod(found[:1]), [expected, found]
        )
        with tf.control_dependencies([fits]):
            if shape.rank is None:
                return tf.identity(values)
            return tf.ensure_shape(values, [None] + [1] * (shape.rank - 1))
    raise ValueError(f"{expected} {found}")


def _column(item: FeatureInput, column: Any) -> Any:
    values = column if tf.is_tensor(column) else tf.convert_to_tensor(column)
    told = f"feature {item.name!r}: expected"
    if isinstance(item, NumericInput):
        return one_a_row(f"{told} a number for each row", values)
    ids = _ids(item.name, values)
    if not item.multivalued:
        return one_a_row(f"{told} an id for each row", ids)
    if ids.shape.rank not in (2, None):
        raise ValueError(
            f"{told} any number of ids for each row, of the shape (batch, any), found"
            f" {ids.shape}"
        )
    if isinstance(ids, tf.SparseTensor):
        return tf.sparse.to_dense(ids, default_value=-1)
    return ids


def _ids(name: str, ids: Any) -> Any:
    if not ids.dtype.is_integer:
        raise ValueError(
            f"feature {name!r}: expected integer ids, found {ids.dtype.name}"
        )
    return ids if ids.dtype in (tf.int32, tf.int64) else tf.cast(ids, tf.int64)

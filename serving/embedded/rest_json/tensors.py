"""The tensors of a predict request: by row, or by column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.embedded.rest_json.errors import json_text, wrong
from serving.embedded.rest_json.values import checker, is_base64
from serving.errors import ServingError, invalid

#: Most dimensions that a tensor has.
MAX_DIMS = 254

Inputs = Mapping[str, meta_graph_pb2.TensorInfo]


def fill_predict_request(
    document: Mapping[str, Any], inputs: Inputs, request: predict_pb2.PredictRequest
) -> bool:
    """Reads the tensors of a predict request.

    Args:
        document: The request, with `instances` (row form) or `inputs` (column form).
        inputs: The inputs of the signature.
        request: Gets the tensors.

    Returns:
        Whether it has the row form.

    Raises:
        ServingError: INVALID_ARGUMENT, for values that don't fit the signature.
    """
    if not inputs:
        name = request.model_spec.signature_name or "DEFAULT"
        raise invalid(f"Failed to get input map for signature: {name}")
    if "instances" in document and "inputs" in document:
        raise wrong(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances'"
            " keys to exist ",
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise wrong(document, "Excepting 'instances' to be an list/array")
        if not rows:
            raise wrong(document, "No values in 'instances' array")
        _fill_rows(rows, inputs, request)
        return True
    if "inputs" in document:
        _fill_columns(document["inputs"], inputs, request)
        return False
    raise invalid("Missing 'inputs' or 'instances' key")


def _fill_rows(
    rows: list[Any], inputs: Inputs, request: predict_pb2.PredictRequest
) -> None:
    named = _is_named(rows[0])
    if not isinstance(rows[0], dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input"
            " tensors required as per tensorinfo_map"
        )
    only = next(iter(inputs))
    columns = {name: _Column(info.dtype) for name, info in inputs.items()}
    for number, row in enumerate(rows):
        if _is_named(row) != named:
            raise invalid(
                f"Expecting object but got list at item {number} of input list"
                if named
                else f"Expecting value/list but got object at item {number} of input"
                " list"
            )
        for name, value in row.items() if named else [(only, row)]:
            where = f"Failed to process element: {number}"
            if named:
                where += f" key: {name}"
            try:
                if name not in columns:
                    raise invalid(f"JSON object: does not have named input: {name}")
                columns[name].add(value)
            except ServingError as error:
                raise invalid(
                    f"{where} of 'instances' list. Error: INVALID_ARGUMENT:"
                    f" {error.message}"
                ) from error
        if named and row.keys() != columns.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object:"
                f" {json_text(row)} keys must be equal to: {','.join(sorted(columns))}"
            )
    # Of several inputs, binary values are for the first; the signature then says which
    # others are missing.
    for name in columns if named else [only]:
        column = columns[name]
        column.fill(request.inputs[name], (len(rows), *column.dims))


def _fill_columns(
    value: Any, inputs: Inputs, request: predict_pb2.PredictRequest
) -> None:
    if not _is_named(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple"
                " input tensors required as per tensorinfo_map"
            )
        value = {next(iter(inputs)): value}
    for name, info in sorted(inputs.items()):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        column = _Column(info.dtype)
        column.add(value[name])
        column.fill(request.inputs[name], column.dims)


class _Column:
    """The values of one input, and the shape that each of its instances has."""

    def __init__(self, dtype: int) -> None:
        self.dims: tuple[int, ...] = ()
        self._dtype = dtype
        self._values: list[Any] = []
        self._size: int | None = None
        self._field, self._check = checker(dtype)

    def add(self, value: Any) -> None:
        before = len(self._values)
        dims = tuple(_dense_dims(value))
        if len(dims) > MAX_DIMS:
            raise invalid(
                f"Expecting at most {MAX_DIMS} dimensions but got: {len(dims)}"
            )
        self._append(value, 0, dims)
        size = len(self._values) - before
        if self._size is None:
            self._size, self.dims = size, dims
        elif size != self._size:
            raise invalid(f"Expecting tensor size: {self._size} but got: {size}")
        elif dims != self.dims:
            raise invalid(
                f"Expecting shape {_shape(self.dims)} but got: {_shape(dims)}"
            )

    def fill(self, tensor: tensor_pb2.TensorProto, dims: tuple[int, ...]) -> None:
        tensor.dtype = self._dtype
        for size in dims:
            tensor.tensor_shape.dim.add(size=size)
        getattr(tensor, self._field).extend(self._values)

    def _append(self, value: Any, level: int, dims: tuple[int, ...]) -> None:
        if not isinstance(value, list):
            if level != len(dims):
                raise invalid(
                    f"JSON Value: {json_text(value)} found at incorrect level:"
                    f" {level + 1} in the JSON DOM. Expected at level: {len(dims)}"
                )
            self._values.append(self._check(value))
            return
        if level >= len(dims):
            raise invalid(
                f"Encountered list at unexpected level: {level} expected < {len(dims)}"
            )
        if len(value) != dims[level]:
            raise invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level}"
                f" expected size: {dims[level]}"
            )
        for part in value:
            self._append(part, level + 1, dims)


def _dense_dims(value: Any) -> Iterator[int]:
    while isinstance(value, list):
        yield len(value)
        value = value[0] if value else None


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _shape(dims: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, dims))}]"

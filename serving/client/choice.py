"""Which version of a model scores a row."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from tensorflow_serving.apis import model_pb2

from midpg_tf.spec import as_text

_HASH_BYTES = 8


@dataclasses.dataclass(frozen=True)
class VersionChoice:
    """A version by its number or by a label that the server has for it.

    Attributes:
        version: The number, `None` for the newest that serves.
        label: The label, such as `stable`; `None` for no label.

    Raises:
        ValueError: Both are given.
    """

    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ValueError(
                "expected a version or a label, found version"
                f" {self.version} and label {self.label!r}"
            )

    @property
    def is_newest(self) -> bool:
        """Whether the server may choose."""
        return self.version is None and self.label is None

    def model_spec(self, model_name: str, signature: str = "") -> model_pb2.ModelSpec:
        """Returns the choice in a request's words.

        Args:
            model_name: Name of the model.
            signature: Name of the signature, empty for none.
        """
        spec = model_pb2.ModelSpec(name=model_name, signature_name=signature)
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label
        return spec


@dataclasses.dataclass(frozen=True)
class Canary:
    """A share of the users who get a new version first.

    A user is in it by a hash of model and key, BLAKE2b of 64 bits, so that all clients
    on all machines agree, and a user stays in it while the share grows. Users of one
    model's canary are not those of another's. A row without a key isn't in it: one that
    is empty, or None.

    Attributes:
        label: The label that the server has for the new version.
        share: Share of the keys, from 0 to 1.
        key: The column that says who the user is; a feature or any other.

    Raises:
        ValueError: The share is not from 0 to 1.
    """

    label: str
    share: float
    key: str

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(
                f"share of the canary: expected 0 to 1, found {self.share}"
            )

    def takes(self, model_name: str, value: Any) -> bool:
        """Whether a user is in the canary.

        Args:
            model_name: Name of the model.
            value: The key, of which a categorical feature's text counts: 7 and "7" are
                the same user, and so is a decimal without places. None is no key, as ""
                is.

        Raises:
            RowError: A categorical feature can't have this value.
        """
        text = as_text(self.key, value)
        if not text:
            return False
        digest = hashlib.blake2b(
            model_name.encode() + b"\0" + text, digest_size=_HASH_BYTES
        ).digest()
        return int.from_bytes(digest, "big") < self.share * 2.0 ** (8 * _HASH_BYTES)

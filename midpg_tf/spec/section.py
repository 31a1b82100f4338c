"""The base of every section of a data-set file: immutable, and strict about keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from midpg_tf.spec.errors import did_you_mean


class Section(BaseModel):
    """A mapping of the file. Unknown keys are errors; values can't change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, content: Any) -> Any:
        # Pydantic's own message for this doesn't say which keys there are.
        if isinstance(content, dict):
            known = [field.alias or key for key, field in cls.model_fields.items()]
            refuse_unknown(content, known)
        return content


def refuse_unknown(found: Iterable[Any], known: Iterable[str]) -> None:
    """Raises ValueError on the first of `found` that isn't among `known`."""
    known = sorted(known)
    for key in found:
        if key not in known:
            raise ValueError(
                f"expected keys out of {known}, found the unknown key {key!r}"
                f"{did_you_mean(str(key), known)}"
            )

"""What reports are made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A part of a report: it can't be changed, and JSON keeps its NaN."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

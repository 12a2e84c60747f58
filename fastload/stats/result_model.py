"""What every model of a result is: frozen, strict about its keys, and without numbers that JSON does not have."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ResultModel(BaseModel):
    """A part of a result. An unknown key is an error, so that a reader never takes a misspelt one for absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings", populate_by_name=True, defer_build=True)

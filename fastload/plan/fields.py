"""The field types that the sections of a plan share.

Invariant: a value that passes one of these is in its one inner form: seconds as float, a distribution as text.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fastload.plan.units import parse_cpus, parse_duration_s

REDACTED: Final = "<redacted>"


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _switch(value: object) -> object:
    # YAML 1.1 reads a bare on/off as a boolean.
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _cpus(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return parse_cpus(value) if isinstance(value, str) else value


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(parse_duration_s)]
"""A finite duration >= 0 in seconds; accepts the texts of `parse_duration_s`."""
PositiveInt = Annotated[int, Field(strict=True, ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
DistributionText = Annotated[str, BeforeValidator(_text_of_number)]
"""A distribution as `fastload.workload.distribution` reads it."""
Switch = BeforeValidator(_switch)
Cpus = Annotated[tuple[Annotated[int, Field(strict=True, ge=0)], ...], BeforeValidator(_cpus)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
"""One text or a list of them."""


class Frozen(BaseModel):
    """A section: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

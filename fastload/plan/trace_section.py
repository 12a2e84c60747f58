"""The `trace` and `sessions` sections of a plan: recorded traffic replayed in open loop, and conversations of several turns.

Knows nothing of file formats. Invariant: a `Trace` that exists names its file and a span that is not empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from fastload.plan.fields import Frozen, PositiveFloat, PositiveInt, Seconds


def _factor(value: object) -> object:
    """Return `2x` as 2."""
    if not isinstance(value, str):
        return value
    try:
        return float(value.strip().lower().removesuffix("x"))
    except ValueError:
        raise ValueError(f"{value!r} is not a factor; write 10 or 2x") from None


class Trace(Frozen):
    """A recorded trace whose requests leave at their own times."""

    file: Path
    format: str = "auto"
    """Name of the format as `fastload.workload.traces` knows it; `auto` looks at the file."""
    speed: Annotated[PositiveFloat, BeforeValidator(_factor)] = 1.0
    """2 = twice as fast: gaps are halved."""
    from_s: Seconds = Field(default=0.0, validation_alias=AliasChoices("from", "from_s"))
    """Start of the part that is replayed, in the trace's own time from its first request."""
    to_s: Seconds | None = Field(default=None, validation_alias=AliasChoices("to", "to_s"))
    at_end: Literal["stop", "loop"] = "stop"

    @model_validator(mode="after")
    def _consistent(self) -> Trace:
        if self.to_s is not None and self.to_s <= self.from_s:
            raise ValueError(f"to ({self.to_s:g} s) is not after from ({self.from_s:g} s): nothing would be replayed")
        return self


class Sessions(Frozen):
    """Conversations whose history holds the server's real replies; `load.users` then counts live conversations."""

    max_turns: PositiveInt | None = None
    """Turns of a conversation at most; None = all it has."""
    replies: Literal["real", "recorded"] = "real"
    """What stands in the history as the assistant's turn: what the server said, or what the dataset holds."""

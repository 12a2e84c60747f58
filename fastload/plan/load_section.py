"""The `load` section of a plan: how much, in which rhythm, for how long, and what ends it early.

Closed loop: `users`, or `stages` of users. Open loop: `rate`, or `stages` of rates (`10/s@30s`). Knows nothing of how it is carried
out. Invariant: a `Load` that exists is consistent and bounded by a duration, a number of requests or of sessions.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator

from fastload.plan.fields import Frozen, PositiveFloat, PositiveInt, Seconds, Texts
from fastload.plan.rhythm import read_arrival, read_cancel, think_time_text
from fastload.plan.stages import read_stages

DEFAULT_DURATION_S: Final = 30.0
"""Length of a run that gives neither a duration nor a number of requests."""
RetryKind = Literal["connect", "reset", "timeout", "5xx", "429"]


def _kinds(value: object) -> object:
    """Take `connect,5xx` apart, given once or several times; YAML reads a bare 429 as a number."""
    given = [value] if isinstance(value, str | int) else value
    if not isinstance(given, list | tuple):
        return value
    kinds = (kind.strip() for item in given for kind in str(item).lower().split(","))
    return tuple(dict.fromkeys(kind for kind in kinds if kind))


class Load(Frozen):
    """How much load: users who each wait for the end of a response, think and send again; or arrivals at a rate."""

    users: PositiveInt = 1
    spawn_rate: float | None = Field(default=None, strict=True, gt=0, allow_inf_nan=False)
    """Users started per second; None = all of them within the first second, at most 2,000 a second."""
    rate: PositiveFloat | None = None
    """Arrivals per second, in open loop; None = closed loop."""
    arrival: str = "constant"
    """How arrivals are spread: `constant`, `poisson` or `gamma:CV` (coefficient of variation of the gaps)."""
    stages: str | None = None
    """Levels over time as `fastload.plan.stages` reads them: `10@30s,100@60s`, `10..100@1m`, `5/s@30s`."""
    max_in_flight: PositiveInt | None = None
    """Open loop: requests at once, over all workers; None = as many as this machine can hold."""
    when_full: Literal["miss", "wait"] = "miss"
    """What becomes of an arrival while `max_in_flight` are running: counted as missed, or it waits, and its lateness shows it."""
    max_prefill: PositiveInt | None = None
    """Requests that may wait for their first token at once, over all workers; further ones wait on this side."""
    duration_s: Seconds | None = Field(default=None, gt=0, validation_alias=AliasChoices("duration", "duration_s"))
    """Length of the load, warm-up included; with `requests` whichever comes first. Stages give it when nothing else does."""
    to_the_end: bool = False
    """The trace's end is the load's; set for a trace when nothing else bounds it."""
    requests: PositiveInt | None = None
    """Requests of the whole run, over all users; of conversations, their number."""
    think_time: Annotated[str, BeforeValidator(think_time_text)] = "0s"
    """Closed loop: a user's pause between a response and its next request: `2s`, `uniform:1s:3s`, `exponential:2s`,
    `normal:2s:500ms` or `lognormal:2s:1s`."""
    pacing_s: Seconds | None = Field(default=None, gt=0, validation_alias=AliasChoices("pacing", "pacing_s"))
    """Closed loop: a user sends at most once in this time, measured from send to send."""
    warmup_s: Seconds = Field(default=0.0, validation_alias=AliasChoices("warmup", "warmup_s"))
    """Length of the warm-up at the head of the load; it is outside the measured window."""
    steady: Literal["auto"] | None = None
    """`auto`: the measured window is the steady part of the load, which is looked for in what was measured."""
    drain_s: Seconds = Field(default=30.0, validation_alias=AliasChoices("drain", "drain_s"))
    """How long responses in flight may take to finish after the load has stopped."""
    request_timeout_s: Seconds = Field(default=600.0, gt=0, validation_alias=AliasChoices("request_timeout", "request_timeout_s"))
    retries: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    """How often a failed request is tried again; every attempt is recorded."""
    backoff_s: Seconds = Field(default=0.5, validation_alias=AliasChoices("backoff", "backoff_s"))
    """Pause before the first retry, doubled before each further one; a Retry-After of the server wins when it is longer."""
    retry_on: Annotated[tuple[RetryKind, ...], BeforeValidator(_kinds)] = ("connect", "reset", "5xx", "429")
    cancel: str | None = None
    """A share of requests the client gives up on: `10%@2s` after a time, `10%@20tokens` after so many content events."""
    stop: Texts = ()
    """Rules that end the load early, as `fastload.verdict.stop` reads them."""

    @property
    def open_loop(self) -> bool:
        """Requests leave when the plan says, whether or not earlier ones were answered."""
        return self.rate is not None or (self.stages is not None and "/s" in self.stages)

    @property
    def thinks(self) -> bool:
        """Users pause between two requests."""
        return self.think_time != "0s" or self.pacing_s is not None

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, data: Any) -> Any:
        """Give the load an end: the stages' own, or the default, unless something else ends it."""
        if not isinstance(data, dict) or any(data.get(key) is not None for key in ("duration", "duration_s")):
            return data
        rest = {key: value for key, value in data.items() if key not in ("duration", "duration_s")}
        stages = data.get("stages")
        if isinstance(stages, str):
            try:
                return {**rest, "duration_s": read_stages(stages).duration_s}
            except ValueError:
                return data  # The field's own validator says so.
        if any(data.get(key) not in (None, False) for key in ("requests", "to_the_end")):
            return data
        return {**rest, "duration_s": DEFAULT_DURATION_S}

    @field_validator("arrival", mode="after")
    @classmethod
    def _known_arrival(cls, arrival: str) -> str:
        read_arrival(arrival)
        return arrival.strip().lower()

    @field_validator("stages", mode="after")
    @classmethod
    def _readable_stages(cls, stages: str | None) -> str | None:
        if stages is None:
            return None
        read_stages(stages)
        return stages.strip().lower()

    @field_validator("cancel", mode="after")
    @classmethod
    def _readable_cancel(cls, cancel: str | None) -> str | None:
        if cancel is None:
            return None
        read_cancel(cancel)
        return cancel.strip()

    @model_validator(mode="after")
    def _consistent(self) -> Load:
        # One user is the default, which a stored plan spells out.
        levels = [("users", self.users != 1), ("rate", self.rate is not None), ("stages", self.stages is not None)]
        given = [name for name, is_given in levels if is_given]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} contradict each other: give one of them")
        if self.open_loop:
            kind = "a rate" if self.rate is not None else "stages of rates"
            if self.spawn_rate is not None:
                raise ValueError(f"spawn_rate has no meaning with {kind}: there are no users to start")
            if self.thinks:
                name = "pacing" if self.pacing_s is not None else "think_time"
                raise ValueError(f"{name} has no meaning with {kind}: requests leave when they arrive")
        if self.stages is not None and self.duration_s is not None:
            stages_s = read_stages(self.stages).duration_s
            if self.duration_s > stages_s * (1 + 1e-9):
                raise ValueError(
                    f"duration ({self.duration_s:g} s) is longer than the stages ({stages_s:g} s): add a stage for the rest"
                )
        if self.duration_s is not None and self.warmup_s >= self.duration_s:
            raise ValueError(
                f"warmup ({self.warmup_s:g} s) is not shorter than duration ({self.duration_s:g} s): nothing would be measured"
            )
        return self

"""The short texts of a load's rhythm, taken apart: `load.arrival`, `load.think_time` and `load.cancel`.

Knows nothing of schedules or requests. Invariant: what was read is in range; a ValueError says in one line what is not.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from fastload.plan.units import format_duration_s, parse_duration_s

MAX_CV: Final = 10.0
"""Beyond it nine gaps in ten are empty and the rest minutes long: no traffic looks like that."""
MIN_CV: Final = 0.01
"""Below it arrivals are constant for every purpose."""
_CANCEL: Final = re.compile(r"(?P<share>\d+(?:\.\d*)?|\.\d+)\s*%\s*@\s*(?:(?P<tokens>\d+)\s*tokens?|(?P<time>.+))", re.IGNORECASE)
_CANCEL_FORMS: Final = "write 10%@2s or 10%@20tokens"
ThinkKind = Literal["fixed", "uniform", "exponential", "normal", "lognormal"]
_THINK_KINDS: Final[dict[str, tuple[ThinkKind, tuple[str, ...]]]] = {
    "uniform": ("uniform", ("MIN", "MAX")),
    "exponential": ("exponential", ("MEAN",)),
    "normal": ("normal", ("MEAN", "STDEV")),
    "lognormal": ("lognormal", ("MEAN", "STDEV")),
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """How the gaps between arrivals are spread about their mean."""

    kind: Literal["constant", "poisson", "gamma"]
    cv: float
    """Coefficient of variation of the gaps."""


@dataclass(frozen=True, slots=True)
class ThinkTime:
    """How a user's pauses are distributed; seconds."""

    kind: ThinkKind
    first_s: float
    """The pause itself, its minimum, or its mean."""
    second_s: float = 0.0
    """Its maximum, or its standard deviation."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Which share of requests is given up, and when: after a time, or after a number of content events."""

    share: float
    after_s: float | None
    after_events: int | None


def read_arrival(text: str) -> Arrival:
    """Return what `constant`, `poisson` or `gamma:CV` says."""
    kind, colon, argument = text.strip().lower().partition(":")
    if kind == "constant" and not colon:
        return Arrival("constant", 0.0)
    if kind == "poisson" and not colon:
        return Arrival("poisson", 1.0)
    if kind != "gamma" or not argument:
        raise ValueError(f"{text!r} is no process of arrivals; write constant, poisson or gamma:CV, as in gamma:2")
    try:
        cv = float(argument)
    except ValueError:
        raise ValueError(f"{text!r} has the coefficient of variation {argument!r}, which is no number") from None
    if not MIN_CV <= cv <= MAX_CV:
        raise ValueError(f"{text!r} is out of range: a coefficient of variation lies between {MIN_CV:g} and {MAX_CV:g}")
    return Arrival("gamma", cv)


def read_think_time(text: str) -> ThinkTime:
    """Return what `2s`, `uniform:1s:3s`, `exponential:2s`, `normal:2s:500ms` or `lognormal:2s:1s` says."""
    kind, colon, rest = text.strip().lower().partition(":")
    if not colon:
        return ThinkTime("fixed", parse_duration_s(kind))
    if kind not in _THINK_KINDS:
        raise ValueError(f"{text!r} is no think time; write 2s, uniform:1s:3s, exponential:2s, normal:2s:500ms or lognormal:2s:1s")
    named, parts = _THINK_KINDS[kind]
    fields = rest.split(":")
    if len(fields) != len(parts):
        raise ValueError(f"{text!r} is no think time: write {kind}:{':'.join(parts)}")
    first, *others = (parse_duration_s(field) for field in fields)
    second = others[0] if others else 0.0
    if kind == "uniform" and second < first:
        raise ValueError(f"{text!r} is no think time: its minimum is above its maximum")
    if kind == "lognormal" and first == 0:
        raise ValueError(f"{text!r} is no think time: a log-normal mean is above 0")
    return ThinkTime(named, first, second)


def think_time_text(value: object) -> str:
    """Return a think time in its one spelling: a plain duration as `format_duration_s` writes it.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is no think time; write it as 2s")
    if not isinstance(value, str) or ":" not in value:
        return format_duration_s(parse_duration_s(value))
    read_think_time(value)
    return value.strip().lower()


def read_cancel(text: str) -> Cancel:
    """Return what `10%@2s` or `10%@20tokens` says."""
    match = _CANCEL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} does not say which requests are given up, and when; {_CANCEL_FORMS}")
    share = float(match["share"]) / 100
    if not 0 < share <= 1:
        raise ValueError(f"{text!r} gives up {match['share']}% of the requests: it must be more than 0% and at most 100%")
    if match["tokens"] is not None:
        events = int(match["tokens"])
        if not 0 < events < 1 << 31:
            raise ValueError(f"{text!r} gives up after {events} tokens: it must be at least 1")
        return Cancel(share, None, events)
    after_s = parse_duration_s(match["time"])
    if after_s <= 0 or not math.isfinite(after_s):
        raise ValueError(f"{text!r} gives up before anything was sent; {_CANCEL_FORMS}")
    return Cancel(share, after_s, None)

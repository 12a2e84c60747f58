"""The text of `load.stages`: levels over time, taken apart.

    stages  = segment {"," segment}
    segment = shape "@" duration
    shape   = level | level ".." level | "wave:" mean ":" amplitude ":" period | "burst:" base ":" peak ":" period ":" share

A level is a number of users, or with `/s` behind it arrivals per second. A wave is mean + amplitude * sin(2 pi t / period); a burst
holds the peak for the first share (`20%` or `0.2`) of each period and the base for the rest. Knows nothing of schedules.
Invariant: every segment that was read has a length above 0 and never falls below 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from fastload.plan.units import format_duration_s, parse_duration_s

MAX_PERIODS: Final = 10_000
"""Of one wave or burst: more are a slip of the unit, and each costs memory."""
_LEVEL: Final = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<rate>/s)?", re.IGNORECASE)
_FORMS: Final = (
    "write 10@30s, 10..100@1m, wave:50:30:60s@5m or burst:20:100:60s:20%@5m; with /s behind its levels (10/s@30s) it is a rate"
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the load."""

    kind: Literal["line", "wave", "burst"]
    first: float
    """Level at the start of a line; the mean of a wave; the base of a burst."""
    second: float
    """Level at the end of a line; the amplitude of a wave; the peak of a burst."""
    duration_s: float
    period_s: float = 0.0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Stages:
    """All stretches, one after the other."""

    segments: tuple[Segment, ...]
    is_rate: bool
    """Levels are arrivals per second, not users."""

    @property
    def duration_s(self) -> float:
        """Length of all together."""
        return sum(segment.duration_s for segment in self.segments)


def read_stages(text: str) -> Stages:
    """Return what a text such as `10@30s,100@60s` says.

    Raises:
        ValueError: it is none, mixes users and rates, or asks for nothing.
    """
    read = [_segment(part.strip()) for part in text.split(",")]
    if len({is_rate for _, is_rate in read}) > 1:
        users, rate = (next(at for at, (_, is_rate) in enumerate(read) if is_rate is kind) for kind in (False, True))
        parts = [part.strip() for part in text.split(",")]
        raise ValueError(f"the stages mix users ({parts[users]}) and rates ({parts[rate]}): a load is closed or open, not both")
    segments = tuple(segment for segment, _ in read)
    if not any(_peak(segment) for segment in segments):
        raise ValueError(f"the stages {text!r} are 0 throughout: nothing would be sent")
    return Stages(segments, read[0][1])


def _segment(text: str) -> tuple[Segment, bool]:
    shape, at, length = text.rpartition("@")
    if not at:
        raise ValueError(f"the stage {text!r} has no length; {_FORMS}")
    duration_s = parse_duration_s(length)
    if duration_s <= 0:
        raise ValueError(f"the stage {text!r} has no length: it is 0 s long")
    kind, *fields = [field.strip() for field in shape.split(":")]
    if kind.lower() == "wave":
        segment, is_rate = _wave(text, fields, duration_s)
    elif kind.lower() == "burst":
        segment, is_rate = _burst(text, fields, duration_s)
    elif fields:
        raise ValueError(f"the stage {text!r} has an unknown shape {kind!r}; {_FORMS}")
    else:
        (first, *rest), is_rate = _levels(text, shape.split(".."))
        if len(rest) > 1:
            raise ValueError(f"the stage {text!r} has more than two levels; {_FORMS}")
        segment = Segment("line", first, rest[0] if rest else first, duration_s)
    if not is_rate and any(level != int(level) for level in (segment.first, segment.second)):
        raise ValueError(f"the stage {text!r} asks for a part of a user; for arrivals per second write /s behind the level")
    return segment, is_rate


def _wave(text: str, fields: list[str], duration_s: float) -> tuple[Segment, bool]:
    if len(fields) != 3:
        raise ValueError(f"the stage {text!r} is no wave: write wave:MEAN:AMPLITUDE:PERIOD@DURATION")
    period, trailing = _without_mark(fields[2])
    (mean, amplitude), is_rate = _levels(text, fields[:2])
    if amplitude > mean:
        raise ValueError(f"the stage {text!r} falls below 0: its amplitude is larger than its mean")
    return Segment("wave", mean, amplitude, duration_s, _period_s(text, period, duration_s)), is_rate or trailing


def _burst(text: str, fields: list[str], duration_s: float) -> tuple[Segment, bool]:
    if len(fields) != 4:
        raise ValueError(f"the stage {text!r} is no burst: write burst:BASE:PEAK:PERIOD:SHARE@DURATION")
    share_text, trailing = _without_mark(fields[3])
    (base, peak), is_rate = _levels(text, fields[:2])
    try:
        share = float(share_text.removesuffix("%")) / (100 if share_text.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"the stage {text!r} has the share {share_text!r}: write it as 20% or 0.2") from None
    if not 0 < share < 1:
        raise ValueError(f"the stage {text!r} has the share {share_text}: it must lie between 0 and 1")
    return Segment("burst", base, peak, duration_s, _period_s(text, fields[2], duration_s), share), is_rate or trailing


def _levels(text: str, fields: list[str]) -> tuple[list[float], bool]:
    levels, is_rate = [], False
    for field in fields:
        match = _LEVEL.fullmatch(field.strip())
        if match is None:
            raise ValueError(f"the stage {text!r} has the level {field.strip()!r}; {_FORMS}")
        levels.append(float(match["number"]))
        is_rate = is_rate or match["rate"] is not None
    return levels, is_rate


def _without_mark(field: str) -> tuple[str, bool]:
    """Return a last field without the `/s` that marks the whole shape, and whether it was there."""
    marked = field.lower().endswith("/s")
    return (field[:-2].strip() if marked else field), marked


def _period_s(text: str, field: str, duration_s: float) -> float:
    period_s = parse_duration_s(field)
    if period_s <= 0:
        raise ValueError(f"the stage {text!r} has a period of 0 s")
    if duration_s / period_s > MAX_PERIODS:
        raise ValueError(f"the stage {text!r} has more than {MAX_PERIODS:,} periods of {format_duration_s(period_s)}")
    return period_s


def _peak(segment: Segment) -> float:
    return max(segment.first, segment.second)

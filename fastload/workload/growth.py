"""Lengths that follow the time of the run: how many tokens a prompt has that is sent so many seconds after its start.

Pure. Invariant: a length is an integer from 1 to `MAX_TOKENS`, and it is the last one named once the growth has ended.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from fastload.errors import FastloadError
from fastload.plan.units import parse_duration_s
from fastload.workload.distribution import MAX_TOKENS

_FORMS: Final = "write linear:FROM:TO:TIME, exponential:FROM:TO:TIME or staged:TOKENS@TIME,TOKENS@TIME,..."


class Growth(ABC):
    """Length over time."""

    @abstractmethod
    def tokens(self, elapsed_s: float) -> int:
        """Return the length at a time since the start of the load."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """The greatest length there is."""


@dataclass(frozen=True, slots=True)
class Linear(Growth):
    """From `first` to `last` tokens, by the same number of tokens in equal times."""

    first: int
    last: int
    duration_s: float

    def tokens(self, elapsed_s: float) -> int:
        """Return first + (last - first) * t / duration, rounded."""
        return round(self.first + (self.last - self.first) * _part(elapsed_s, self.duration_s))

    @property
    def longest(self) -> int:
        """The longer end."""
        return max(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Exponential(Growth):
    """From `first` to `last` tokens, by the same factor in equal times."""

    first: int
    last: int
    duration_s: float

    def tokens(self, elapsed_s: float) -> int:
        """Return first * (last / first) ** (t / duration), rounded."""
        return round(self.first * math.pow(self.last / self.first, _part(elapsed_s, self.duration_s)))

    @property
    def longest(self) -> int:
        """The longer end."""
        return max(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Staged(Growth):
    """One length after the other, each for its time; the last one stays."""

    lengths: tuple[int, ...]
    ends_s: tuple[float, ...]

    def tokens(self, elapsed_s: float) -> int:
        """Return the length of the stage the time falls into."""
        for length, end_s in zip(self.lengths, self.ends_s, strict=True):
            if elapsed_s < end_s:
                return length
        return self.lengths[-1]

    @property
    def longest(self) -> int:
        """The longest stage."""
        return max(self.lengths)


def _part(elapsed_s: float, duration_s: float) -> float:
    return min(max(elapsed_s / duration_s, 0.0), 1.0)


def parse_growth(text: str, name: str = "--growth") -> Growth:
    """Return the growth a text such as `linear:100:4000:60s` describes.

    Raises:
        FastloadError: it is none, or a length or time in it is impossible; `name` says what it sets.
    """
    kind, _, rest = text.strip().partition(":")
    try:
        if kind in ("linear", "exponential"):
            first, last, time = rest.split(":")
            made = Linear if kind == "linear" else Exponential
            return made(_length(first), _length(last), _time_s(time))
        if kind == "staged":
            stages = [part.partition("@") for part in rest.split(",")]
            lengths = tuple(_length(length) for length, _, _ in stages)
            return Staged(lengths, tuple(accumulate(_time_s(time) for _, _, time in stages)))
    except _RangeError as error:
        raise FastloadError(f"{name} {text!r} is out of range", why=str(error)) from None
    except ValueError:
        pass  # Not a number, not a duration or too many parts: the same answer as an unknown kind, below.
    raise FastloadError(f"{name} {text!r} is not a growth of lengths", hint=_FORMS)


class _RangeError(Exception):
    """A well-formed growth asks for an impossible length or time."""


def _length(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_TOKENS:
        raise _RangeError(f"a length of {value} tokens is not within 1 to {MAX_TOKENS:,}")
    return value


def _time_s(text: str) -> float:
    if text.strip().startswith("-"):
        raise _RangeError(f"the time {text.strip()} is negative")
    seconds = parse_duration_s(text)
    if seconds == 0:
        raise _RangeError("a time of 0 s: nothing would be sent at that length")
    return seconds

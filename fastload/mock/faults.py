"""Which answers go wrong, decided by counting rather than by dice: after n answers, rate * n of them have, to within one.

Pure. Invariant: the same seed and the same order of requests give the same fates.
"""

from __future__ import annotations

import math
from enum import Enum
from random import Random


class Fate(Enum):
    """How an answer is going to end."""

    COMPLETE = "completed"
    HTTP_500 = "http_500"
    ABORTED = "aborted"
    """The stream is cut in its middle by a reset."""
    TRUNCATED = "truncated"
    """The stream ends cleanly in its middle, without finish_reason and [DONE]."""


class Spread:
    """Hits `rate` of all calls, as evenly as integers allow; `phase` in [0, 1) says where in its period it begins."""

    def __init__(self, rate: float, phase: float) -> None:
        self._rate = rate
        self._phase = phase
        self._calls = 0

    def hit(self) -> bool:
        """Return whether this call is one of the share: the integer part of calls * rate + phase moved."""
        before = math.floor(self._calls * self._rate + self._phase)
        self._calls += 1
        return math.floor(self._calls * self._rate + self._phase) > before


class Faults:
    """The fates of one worker's answers."""

    def __init__(self, *, error_rate: float, abort_rate: float, truncate_rate: float, seed: int) -> None:
        self._random = Random(seed)
        cut_rate = abort_rate + truncate_rate
        self._error = Spread(error_rate, self._random.random())
        self._cut = Spread(cut_rate, self._random.random())
        self._abort = Spread(abort_rate / cut_rate if cut_rate else 0.0, self._random.random())

    def draw(self, *, stream: bool) -> Fate:
        """Return the fate of the next answer; only streams can be aborted or truncated."""
        if self._error.hit():
            return Fate.HTTP_500
        if stream and self._cut.hit():
            return Fate.ABORTED if self._abort.hit() else Fate.TRUNCATED
        return Fate.COMPLETE

    def cut_after(self, tokens: int) -> int:
        """Return after how many of `tokens` a cut stream ends: at least 1, and never all of them if there is a choice."""
        return self._random.randint(1, max(1, tokens - 1))

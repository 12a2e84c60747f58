"""Notices a server that is given more than it can do: work piles up while no more of it gets done.

In a server that keeps up, requests in flight and completions grow together (Little's law with a steady latency). Beyond its limit,
more in flight no longer means more done. So over the last 20, 60 and 180 seconds, by the second:

- requests in flight or waiting, and arrivals that found no place, rise in a clear trend, by `GROWTH` and more than by chance;
- completions do not: they grow by at most a third of that, and are fewer by more than chance than they would be in proportion;
- either twice as many requests ended before as were in flight when it began, or the time to first token has grown by half: long
  requests that accumulate at the start of a load look the same otherwise.

All this for `PATIENCE_S`. Pure: whoever calls says what time it is. Invariant: without completions nothing is said.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from fastload.stats.metrics import Values
from fastload.stats.trend import trend_score

WINDOWS_S: Final = (20, 60, 180)
"""Long enough for a trend among noise, short enough to stop soon; the longer ones see what grows slowly."""
GROWTH: Final = 0.3
"""Of what is piled up, from the first third of the window to the last."""
MIN_GROWTH: Final = 5.0
"""Requests: 3 in flight instead of 2 are no queue."""
COMPLETION_SHARE: Final = 1 / 3
"""Completions that grow by more than this part of the pile's growth are not flat."""
WAIT_GROWTH: Final = 0.5
"""Of the time to first token."""
TURNED_OVER: Final = 2
MIN_FINISHED: Final = 20
PATIENCE_S: Final = 3.0
_CLEAR: Final = 3.5
"""Standard scores of a trend."""
_CHANCE: Final = 3.0
"""Standard errors."""


@dataclass(slots=True)
class _Second:
    second: int
    samples: int = 0
    pile: float = 0.0
    """Sum over the samples."""
    missed: int = 0
    completed: int = 0
    wait: float = 0.0
    """Sum over the requests."""
    waits: int = 0


class SaturationDetector:
    """Follows a load, sample by sample."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self._finished = 0
        self._since_s: float | None = None
        self._found: str | None = None

    def add(self, now_s: float, in_flight: int, missed: int, completed: int, waits: Values) -> None:
        """Take a sample.

        Args:
            now_s: since the start of the load.
            in_flight: requests in flight, and arrivals that wait for a place.
            missed: arrivals that found no place, so far.
            completed: requests that completed since the last sample.
            waits: their times to first token, from the moment the plan wanted them to leave, in any unit; where they have one.
        """
        if not self._seconds or self._seconds[-1].second != int(now_s):
            if self._seconds:
                self._look(now_s)
            self._seconds.append(_Second(int(now_s)))
            while self._seconds[0].second < int(now_s) - WINDOWS_S[-1]:
                self._seconds.popleft()
        now = self._seconds[-1]
        now.samples += 1
        now.pile += in_flight
        now.missed = missed
        now.completed += completed
        now.wait += float(waits.sum())
        now.waits += len(waits)
        self._finished += completed

    def reason(self, now_s: float) -> str | None:
        """Return why the server is held to be saturated; None when it is not, or not for long enough."""
        return self._found if self._since_s is not None and now_s - self._since_s >= PATIENCE_S else None

    def _look(self, now_s: float) -> None:
        """Judge anew; a second is over."""
        whole = list(self._seconds)
        judged = (_judge(whole[-length:], self._finished) for length in WINDOWS_S if len(whole) >= length)
        self._found = next((found for found in judged if found is not None), None) if self._finished >= MIN_FINISHED else None
        if self._found is None:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s


def _judge(window: list[_Second], finished: int) -> str | None:
    third = len(window) // 3
    pile = np.array([second.pile / second.samples + second.missed - window[0].missed for second in window])
    first, last = float(pile[:third].mean()), float(pile[-third:].mean())
    # Requests in flight of a server that keeps up scatter by the root of their number.
    chance = _CHANCE * math.sqrt(first + last)
    if first <= 0 or last - first < max(GROWTH * first, MIN_GROWTH, chance) or trend_score(pile) < _CLEAR:
        return None
    done = sum(second.completed for second in window)
    slow = sum(second.completed for second in window[:third])
    fast = sum(second.completed for second in window[-third:])
    growth = last / first
    in_proportion = slow * growth
    if fast > slow * (1 + COMPLETION_SHARE * (growth - 1)) or in_proportion - fast < _CHANCE * math.sqrt(slow * growth**2 + fast):
        return None
    if finished - done < TURNED_OVER * pile[0] and not _waits_longer(window[:third], window[-third:]):
        return None
    return (
        f"in {len(window)} s requests in flight or waiting grew from {first:.0f} to {last:.0f} "
        f"while completions went from {slow / third:.1f} to {fast / third:.1f} a second"
    )


def _waits_longer(before: list[_Second], after: list[_Second]) -> bool:
    counts = [sum(second.waits for second in part) for part in (before, after)]
    if not all(counts):
        return False
    first, last = (sum(second.wait for second in part) / count for part, count in zip((before, after), counts, strict=True))
    return last > (1 + WAIT_GROWTH) * first

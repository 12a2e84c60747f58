"""Notices a server that is given more than it can do: work piles up while no more of it gets done.

In a server that keeps up, requests in flight and completions grow together (Little's law with a steady latency). Beyond its limit,
more in flight no longer means more done. So over the last `WINDOW_S` seconds, by the second: requests in flight or waiting must
rise in a clear trend and by `GROWTH`, completions by at most a third of that, and this for `PATIENCE_S`. Arrivals that were missed
for want of a place count as piled up. Before as many requests have ended as were in flight when the window began, nothing is said:
a load that has just begun looks the same.

Pure: whoever calls says what time it is. Invariant: a level load that the server answers at a steady rate never saturates it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from fastload.stats.trend import trend_score

WINDOW_S: Final = 20
"""Long enough for a trend among noise, short enough to stop soon."""
GROWTH: Final = 0.3
"""Of what is piled up, from the first third of the window to the last."""
MIN_GROWTH: Final = 5.0
"""Requests: 3 in flight instead of 2 are no queue."""
COMPLETION_SHARE: Final = 1 / 3
"""Completions that grow by more than this part of the pile's growth are not flat."""
MIN_FINISHED: Final = 20
PATIENCE_S: Final = 3.0
_CLEAR: Final = 3.5
"""Standard scores; a random series exceeds it once in 4,000 windows."""


@dataclass(slots=True)
class _Second:
    second: int
    samples: int = 0
    pile: float = 0.0
    """Sum over the samples."""
    missed: int = 0
    completed: int = 0


class SaturationDetector:
    """Follows a load, sample by sample."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self._finished = 0
        self._since_s: float | None = None

    def add(self, now_s: float, in_flight: int, missed: int, completed: int) -> None:
        """Take a sample.

        Args:
            now_s: since the start of the load.
            in_flight: requests in flight, and arrivals that wait for a place.
            missed: arrivals that found no place, so far.
            completed: requests that completed since the last sample.
        """
        if not self._seconds or self._seconds[-1].second != int(now_s):
            self._seconds.append(_Second(int(now_s)))
            while self._seconds[0].second < int(now_s) - WINDOW_S:
                self._seconds.popleft()
        now = self._seconds[-1]
        now.samples += 1
        now.pile += in_flight
        now.missed = missed
        now.completed += completed
        self._finished += completed

    def reason(self, now_s: float) -> str | None:
        """Return why the server is held to be saturated; None when it is not, or not for long enough."""
        found = self._judge()
        if found is None:
            self._since_s = None
            return None
        if self._since_s is None:
            self._since_s = now_s
        return found if now_s - self._since_s >= PATIENCE_S else None

    def _judge(self) -> str | None:
        whole = list(self._seconds)[:-1]  # the last second is not over
        if len(whole) < WINDOW_S:
            return None
        begin_missed = whole[0].missed
        pile = np.array([second.pile / second.samples + second.missed - begin_missed for second in whole])
        done = np.array([float(second.completed) for second in whole])
        before = self._finished - float(done.sum()) - self._seconds[-1].completed
        if self._finished < MIN_FINISHED or before < pile[0]:
            return None
        third = len(whole) // 3
        first, last = float(pile[:third].mean()), float(pile[-third:].mean())
        growth = (last - first) / first if first > 0 else float("inf")
        if growth < GROWTH or last - first < MIN_GROWTH or trend_score(pile) < _CLEAR:
            return None
        slow, fast = float(done[:third].mean()), float(done[-third:].mean())
        # Counts scatter by their root; a rise within two standard errors is none.
        scatter = 2 * float(np.sqrt((slow + fast) / third))
        if fast - slow > max(COMPLETION_SHARE * min(growth, 3.0) * slow, scatter):
            return None
        return (
            f"in {len(whole)} s requests in flight or waiting grew from {first:.0f} to {last:.0f} "
            f"while completions went from {slow:.1f} to {fast:.1f} a second"
        )

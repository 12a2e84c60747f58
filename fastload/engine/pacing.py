"""When to look at the sockets: at once, or in batches every so many microseconds. A pure decision from counts.

With kernel stamps nobody needs to hurry: draining in batches costs fewer wake-ups and no accuracy, as long as two tokens of one
stream do not share a read. The interval is kept far below the gaps between a stream's tokens; the share of coalesced tokens is the
feedback. Knows nothing of sockets or clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROMPT: Final = 0
MIN_INTERVAL_NS: Final = 250_000
MAX_INTERVAL_NS: Final = 3_000_000
_GAP_SHARE: Final = 4
"""Batches a stream's mean gap is divided into: a token then shares a read only when it comes 4 times earlier than usual."""
_MIN_READS_PER_S: Final = 4000
"""Below this a batch holds so few reads that draining lazily saves nothing."""
_MIN_READS_PER_REPLY: Final = 8
"""Short replies are drained promptly: their user's next request waits for the drain."""
_COALESCED_LIMIT: Final = 0.002
_PATIENCE: Final = 50
"""Windows a tightened interval is kept before a wider one is tried again."""


LINGER_NS: Final = 8_000_000
"""How long a drain may wait in native code for more; what is due earlier by the timetable ends the wait."""
_MIN_LINGER_READS_PER_S: Final = 2000
"""Below this the wait would mostly end with nothing to read."""


@dataclass(frozen=True, slots=True)
class Window:
    """What happened since the last decision."""

    elapsed_ns: int
    reads: int
    reads_without_stamp: int
    finished: int
    events: int
    coalesced: int
    in_flight: int


class DrainPacer:
    """Decides after each window how often to drain. `forced` is None, "prompt" or "lazy" (for benchmarks)."""

    def __init__(self, forced: str | None = None) -> None:
        self._forced = forced
        self._ceiling_ns = MAX_INTERVAL_NS
        self._kept = 0
        self._ratio_before: float | None = None

    def next_interval_ns(self, current_ns: int, window: Window) -> int:
        """Return the interval of the next window, or `PROMPT`."""
        if self._forced == "prompt" or not self._worthwhile(window):
            return PROMPT
        gap_ns = window.elapsed_ns * window.in_flight / max(window.events, 1)
        wanted = int(min(max(gap_ns / _GAP_SHARE, MIN_INTERVAL_NS), MAX_INTERVAL_NS))
        if current_ns != PROMPT:
            self._learn(current_ns, window)
        return max(min(wanted, self._ceiling_ns), MIN_INTERVAL_NS)

    def _worthwhile(self, window: Window) -> bool:
        if window.reads_without_stamp * 100 > window.reads or window.events == 0:
            return False
        if self._forced == "lazy":
            return True
        return (
            window.reads * 1_000_000_000 >= _MIN_READS_PER_S * window.elapsed_ns
            and window.reads >= _MIN_READS_PER_REPLY * window.finished
        )

    def _learn(self, current_ns: int, window: Window) -> None:
        ratio = window.coalesced / max(window.events, 1)
        self._kept += 1
        if ratio > _COALESCED_LIMIT and current_ns > MIN_INTERVAL_NS and self._ratio_before is None:
            self._ceiling_ns = max(current_ns // 2, MIN_INTERVAL_NS)
            self._ratio_before, self._kept = ratio, 0
        elif self._ratio_before is not None and self._kept >= 3:
            # Tighter did not help: the server sends several tokens at once, and no interval separates those.
            if ratio > self._ratio_before / 2:
                self._ceiling_ns = MAX_INTERVAL_NS
                if self._kept >= _PATIENCE:
                    self._ratio_before = None
            elif self._kept >= _PATIENCE or ratio > _COALESCED_LIMIT:
                self._ratio_before = None


def linger_ns(window: Window) -> int:
    """Return how long a drain may wait for more while it has nothing for Python; 0 unless there is much to read."""
    busy = window.reads * 1_000_000_000 >= _MIN_LINGER_READS_PER_S * window.elapsed_ns
    return LINGER_NS if busy else 0

"""The only place in Python that reads time.

It knows nothing of runs or metrics. Invariant: every duration in fastload is a difference of two `monotonic_ns` readings (or of
native stamps on the same clock); the wall clock only labels a run.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def monotonic_ns() -> int:
    """Return CLOCK_MONOTONIC in nanoseconds, the clock of every stamp in a result."""
    return time.monotonic_ns()


def utc_now() -> datetime:
    """Return the wall clock as an aware UTC datetime; for labels only, never for a duration."""
    return datetime.now(UTC)


def monotonic_of_wall_ns(wall_ns: int) -> int:
    """Return the monotonic time of a moment given by the wall clock (ns since 1970), by the distance of the two clocks now."""
    return wall_ns - time.time_ns() + time.monotonic_ns()

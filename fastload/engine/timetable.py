"""What is to happen when, to the accuracy of a kernel timer: arrivals, think times, retries, users coming and going.

The event loop's own timers are rounded to a millisecond; these are kept by the reactor's timer descriptor, which also ends a drain
that waits for more. Knows nothing of what the calls do. Invariant: each entry is called exactly once, never before its time, except
by `run_all`.
"""

from __future__ import annotations

import heapq
import itertools
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, Final

from fastload import _native
from fastload.clock import monotonic_ns

_BUDGET_NS: Final = 2_000_000
"""Longest run of calls before the sockets are looked at again: after a stall hundreds of entries are due at once."""


class Timetable:
    """Calls functions at monotonic times."""

    def __init__(self, loop: AbstractEventLoop, reactor: _native.Reactor) -> None:
        self._reactor = reactor
        self._entries: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._armed_ns = 0
        loop.add_reader(reactor.due_fileno(), self._fire)

    def call_at(self, due_ns: int, function: Callable[..., None], *arguments: Any) -> None:
        """Call `function(*arguments)` at a monotonic time, or soon when that has passed."""
        heapq.heappush(self._entries, (due_ns, next(self._order), function, arguments))
        if self._armed_ns == 0 or due_ns < self._armed_ns:
            self._arm(due_ns)

    def next_due_ns(self) -> int:
        """Return when the next call is due; 0 = nothing waits."""
        return self._entries[0][0] if self._entries else 0

    def run_all(self) -> None:
        """Call everything that waits, now: the load has stopped, and whoever waits must notice."""
        entries, self._entries = self._entries, []
        self._arm(0)
        for _, _, function, arguments in sorted(entries):
            function(*arguments)

    def _fire(self) -> None:
        self._reactor.take_due()
        self._armed_ns = 0
        now_ns = monotonic_ns()
        until_ns = now_ns + _BUDGET_NS
        # Looked up anew each time: a call may be the one that runs all.
        while self._entries and self._entries[0][0] <= now_ns < until_ns:
            _, _, function, arguments = heapq.heappop(self._entries)
            function(*arguments)
            now_ns = monotonic_ns()
        if self._entries:
            self._arm(self._entries[0][0])

    def _arm(self, due_ns: int) -> None:
        self._armed_ns = due_ns
        self._reactor.set_due(due_ns)

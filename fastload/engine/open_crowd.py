"""The open loop: pieces of work leave when the schedule says, whether or not earlier ones were answered.

Knows nothing of connections. Invariant: each arrival of this worker's share is started once, or counted as missed; none is delayed
silently: one that had to wait leaves with its own scheduled time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fastload.clock import monotonic_ns
from fastload.engine.crew import Crew
from fastload.engine.lane import Lane
from fastload.engine.pieces import LanePool, Piece
from fastload.engine.supply import WorkSupply
from fastload.workload.work import Reply, Turn

_WARM_SHARE_S: Final = 0.1
"""Connections opened before the load: enough for the arrivals of this time, so that the first ones need not wait for theirs."""
_WARM_MOST: Final = 512
_SPARE_SHARE_S: Final = 0.02
"""Idle connections kept ready: enough for the arrivals of this time."""
_SPARE_MOST: Final = 64


class Times(Protocol):
    """When this worker's arrivals are due, ns after the start of the load, in order."""

    aligned: bool
    """Each arrival is one certain piece of work, so a missed one takes its piece along."""

    def next_ns(self) -> int | None:
        """Return the next one's time; None = there are no more."""

    @property
    def rate(self) -> float:
        """Arrivals per second of this worker, about now."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A worker's share of what may go on at once."""

    in_flight: int | None
    """Pieces; None = no limit."""
    wait: bool
    """An arrival beyond it waits, else it is missed."""


class OpenCrowd:
    """A worker's share of a population of arrivals.

    Args:
        crew, supply, pool: what they share.
        times: when they are due.
        limits: how many at once.
        endpoints: where connections are opened ahead.
    """

    def __init__(
        self, crew: Crew, supply: WorkSupply, times: Times, limits: Limits, pool: LanePool, endpoints: Sequence[int]
    ) -> None:
        self.crew = crew
        self.supply = supply
        self.pool = pool
        self.missed = 0
        self._times = times
        self._limits = limits
        self._endpoints = endpoints
        self._running = 0
        self._waiting: deque[int] = deque()
        """Scheduled times of arrivals that found no place."""
        self._start_ns = 0
        self._paused_ns: int | None = None
        self._next_ns: int | None = None
        self._chain = 0
        """Which chain of timers is in force: a change of rate or a pause starts a new one."""
        self._ended = False

    @property
    def alive(self) -> int:
        """Pieces going on; in an open loop they are the users."""
        return self._running

    @property
    def waiting(self) -> int:
        """Arrivals that found no place yet."""
        return len(self._waiting)

    @property
    def active(self) -> bool:
        """Something is going on, or will be."""
        return self._running > 0 or (not self._ended and not self.crew.stopped())

    def warm(self) -> None:
        """Open connections before the load starts."""
        count = max(8, min(int(self._times.rate * _WARM_SHARE_S), _WARM_MOST))
        if self._limits.in_flight is not None:
            count = min(count, self._limits.in_flight)
        for endpoint in self._endpoints:
            self.pool.connect_ahead(endpoint, count)

    def start(self, start_ns: int) -> None:
        """Begin at a monotonic time."""
        self._start_ns = start_ns
        self._advance()

    def set_times(self, times: Times, start_ns: int) -> None:
        """Go on with another schedule, whose zero is a monotonic time."""
        self._times = times
        self._ended = False
        self._start_ns = start_ns
        self._chain += 1
        if self._paused_ns is None:
            self._advance()

    def pause(self) -> None:
        """Let no arrivals come; the schedule stands still."""
        if self._paused_ns is None:
            self._paused_ns = monotonic_ns()
            self._chain += 1

    def resume(self, at_ns: int) -> None:
        """Let the schedule go on where it stood."""
        if self._paused_ns is None:
            return
        self._start_ns += at_ns - self._paused_ns
        if self._next_ns is not None:
            self._next_ns += at_ns - self._paused_ns
        self._paused_ns = None
        self._arm()

    def stop(self) -> None:
        """Count who waits for a place, and who was due and did not leave, as missed: the load has stopped."""
        self.missed += len(self._waiting)
        self._waiting.clear()
        until_ns = min(self.crew.stop_at_ns, monotonic_ns())
        while self._paused_ns is None and self._next_ns is not None and self._next_ns < until_ns:
            self.missed += 1
            self._advance()
        self._next_ns = None

    # --- arrivals ---------------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        offset_ns = self._times.next_ns()
        self._next_ns = None if offset_ns is None else self._start_ns + offset_ns
        self._ended = offset_ns is None
        self._arm()

    def _arm(self) -> None:
        if self._next_ns is not None:
            self.crew.timetable.call_at(self._next_ns, self._arrive, self._chain)

    def _arrive(self, chain: int) -> None:
        if chain != self._chain or self.crew.stopping or self._next_ns is None:
            return
        due_ns = self._next_ns
        limit = self._limits.in_flight
        if limit is not None and self._running >= limit:
            if self._limits.wait:
                self._waiting.append(due_ns)
            else:
                self.missed += 1
                if self._times.aligned:
                    self.supply.take(self.crew.receiver.loop)
        else:
            self._launch(due_ns)
        if not self._ended:
            self._advance()

    def _launch(self, due_ns: int, held_ns: int = 0) -> None:
        turns = self.supply.take(self.crew.receiver.loop)
        if turns is None:
            self._ended = True
            self._next_ns = None
            self.missed += len(self._waiting)
            self._waiting.clear()
            return
        self._running += 1
        first = turns[0]
        if len(turns) == 1 and first.then is None and first.delay_ns == 0:
            self.pool.borrow(first.endpoint, self._done).start(first, due_ns, held_ns)
        else:
            Piece(self.crew, self.pool, self._piece_done).start(turns, due_ns, None, held_ns)
        self._keep_spare(first)

    def _keep_spare(self, turn: Turn) -> None:
        spare = min(int(self._times.rate * _SPARE_SHARE_S), _SPARE_MOST)
        if self.pool.idle(turn.endpoint) >= spare // 2 or self.pool.opening >= spare or not self.crew.may_reuse():
            return
        limit = self._limits.in_flight
        if limit is None or self.pool.lanes < limit:
            self.pool.connect_ahead(turn.endpoint, 1)

    def _done(self, lane: Lane, end_ns: int, reply: Reply) -> None:  # noqa: ARG002 - the lane's protocol
        self.pool.give_back(lane, lane.turn.endpoint)
        self._piece_done(end_ns)

    def _piece_done(self, end_ns: int) -> None:  # noqa: ARG002 - the piece's protocol
        self._running -= 1
        if self._waiting and not self.crew.stopped():
            due_ns = self._waiting.popleft()
            self._launch(due_ns, max(monotonic_ns() - due_ns, 0))

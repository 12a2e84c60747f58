"""Carries out pieces of work of several turns: each turn's end says which are ready next, on this lane or on further ones.

Knows nothing of who started a piece. Invariant: `finished` is called exactly once, when no turn of the piece is open or waiting.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

from fastload.clock import monotonic_ns
from fastload.engine.crew import Crew
from fastload.engine.lane import Lane
from fastload.workload.work import Reply, Turn

_MOST_IDLE: Final = 4096
"""Idle lanes kept per endpoint; more hold connections nobody needs."""


class LanePool:
    """Lanes that belong to nobody at the moment, most recently used first, so that idle connections age out.

    Args:
        crew: what they share.
        first_index: told in the records as the user; further lanes count up by `step`.
    """

    def __init__(self, crew: Crew, first_index: int, step: int) -> None:
        self._crew = crew
        self._indices = itertools.count(first_index, step)
        self._idle: dict[int, list[Lane]] = {}
        self.lanes = 0
        """Lanes made and not closed."""
        self.opening = 0
        """Of those, on their way to a first connection nobody waits for."""

    def borrow(self, endpoint: int, done: Callable[[Lane, int, Reply], None]) -> Lane:
        """Return a lane, connected to the endpoint if there is one."""
        idle = self._idle.get(endpoint)
        while idle:
            lane = idle.pop()
            if lane.usable(endpoint):
                lane.done = done
                return lane
            self._close(lane)
        self.lanes += 1
        return Lane(self._crew, next(self._indices), done)

    def give_back(self, lane: Lane, endpoint: int) -> None:
        """Keep a lane for the next to need one."""
        idle = self._idle.setdefault(endpoint, [])
        if lane.usable(endpoint) and len(idle) < _MOST_IDLE:
            idle.append(lane)
        else:
            self._close(lane)

    def idle(self, endpoint: int) -> int:
        """Return how many connected lanes wait."""
        return len(self._idle.get(endpoint, ()))

    def connect_ahead(self, endpoint: int, count: int) -> None:
        """Open connections before they are needed."""
        for _ in range(count):
            self.lanes += 1
            self.opening += 1
            Lane(self._crew, next(self._indices), _nobody).connect_ahead(endpoint, self._opened)

    def _opened(self, lane: Lane, endpoint: int) -> None:
        self.opening -= 1
        self.give_back(lane, endpoint)

    def _close(self, lane: Lane) -> None:
        self.lanes -= 1
        lane.close()


def _nobody(lane: Lane, end_ns: int, reply: Reply) -> None:  # noqa: ARG001 - the lane's protocol
    raise AssertionError("a lane without an owner carried a request")


class Piece:
    """A piece of work being carried out.

    Args:
        crew, pool: where further lanes come from when turns branch.
        finished: called as finished(end_ns) at the end.
        pause_ns: draws the pause between a turn's end and the next; None = none.
    """

    __slots__ = ("_crew", "_finished", "_held_ns", "_open", "_own", "_own_free", "_pause_ns", "_pool")

    def __init__(
        self, crew: Crew, pool: LanePool, finished: Callable[[int], None], pause_ns: Callable[[int], int] | None = None
    ) -> None:
        self._crew = crew
        self._pool = pool
        self._finished = finished
        self._pause_ns = pause_ns
        self._open = 0
        self._own: Lane | None = None
        self._own_free = False

    def start(self, turns: Sequence[Turn], scheduled_ns: int, lane: Lane | None, held_ns: int = 0) -> None:
        """Start the opening turns; the first uses `lane`, which stays the caller's. The plan held the piece back for `held_ns`."""
        self._held_ns = held_ns
        self._own, self._own_free = lane, lane is not None
        self._open = len(turns)
        for turn in turns:
            self._start_at(turn, scheduled_ns + turn.delay_ns)

    def _start_at(self, turn: Turn, due_ns: int) -> None:
        if due_ns > monotonic_ns():
            self._crew.timetable.call_at(due_ns, self._start, turn, due_ns)
        else:
            self._start(turn, due_ns)

    def _start(self, turn: Turn, due_ns: int) -> None:
        if self._crew.stopped():
            self._close_one(due_ns)
            return
        if self._own_free and self._own is not None:
            lane, self._own_free = self._own, False
            lane.done = self._done
        else:
            lane = self._pool.borrow(turn.endpoint, self._done)
        held_ns, self._held_ns = self._held_ns, 0
        lane.start(turn, due_ns, held_ns)

    def _done(self, lane: Lane, end_ns: int, reply: Reply) -> None:
        turn = lane.turn
        if lane is self._own:
            self._own_free = True
        else:
            self._pool.give_back(lane, turn.endpoint)
        if turn.then is not None and not self._crew.stopped():
            ready = turn.then(reply)
            self._open += len(ready)
            pause_ns = lane.backoff_ns() if self._pause_ns is None else self._pause_ns(end_ns)
            for after in ready:
                self._start_at(after, end_ns + pause_ns + after.delay_ns)
        self._close_one(end_ns)

    def _close_one(self, end_ns: int) -> None:
        self._open -= 1
        if self._open == 0:
            self._finished(end_ns)

"""The closed loop: users who send, wait for the end of the response, think and send again; as many as are asked for.

Knows nothing of connections. Invariant: the users alive are those whose index is below the level; one above it finishes the request
at hand and leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from fastload.engine.crew import Crew
from fastload.engine.lane import Lane
from fastload.engine.pieces import LanePool, Piece
from fastload.engine.supply import WorkSupply
from fastload.schedule.closed import ClosedLoop
from fastload.schedule.ramp import Ramp
from fastload.workload.work import Reply

DEFAULT_CHANGE_PER_S: Final = 2000.0
"""Users per second that a command starts or ends when it names no rate."""


class Levels(Protocol):
    """How many users there are to be, over time; ns after the start of the load."""

    def target_users(self, t_ns: int) -> int:
        """Return the level at a time."""

    def next_change_ns(self, t_ns: int) -> int | None:
        """Return when it changes next after a time; None = never."""


class User:
    """One closed-loop user. While all goes well the end of a response sends the next request straight from the receiver's call."""

    __slots__ = ("_crowd", "_ended_ns", "_iteration", "_lane", "_sent_ns", "idle", "index", "retired")

    def __init__(self, crowd: ClosedCrowd, index: int) -> None:
        self._crowd = crowd
        self.index = index
        self.retired = False
        self.idle = False
        """Nothing of it is in flight or due: it was paused."""
        self._lane = Lane(crowd.crew, crowd.first_index + index, self._done)
        self._iteration = 0
        self._sent_ns = self._ended_ns = 0

    def begin(self, scheduled_ns: int) -> None:
        """Take the next piece of work, or leave when there is none or the load is over."""
        crowd = self._crowd
        if self.retired or crowd.crew.stopped():
            self._leave()
            return
        if crowd.paused:
            self.idle = True
            return
        turns = crowd.supply.take(crowd.crew.receiver.loop)
        if turns is None:
            self._leave()
            return
        self._iteration += 1
        if len(turns) == 1 and turns[0].then is None and turns[0].delay_ns == 0:
            self._lane.done = self._done
            self._lane.start(turns[0], scheduled_ns)
        else:
            piece = Piece(crowd.crew, crowd.pool, self._piece_done, self._pause_ns)
            piece.start(turns, scheduled_ns, self._lane)

    def _done(self, lane: Lane, end_ns: int, reply: Reply) -> None:  # noqa: ARG002 - the lane's protocol
        self._next(end_ns)

    def _piece_done(self, end_ns: int) -> None:
        self._next(end_ns)

    def _pause_ns(self, end_ns: int) -> int:
        """Return the think time before the next turn of a conversation."""
        self._iteration += 1
        return max(self._scheduled_ns(end_ns) - end_ns, 0)

    def _next(self, end_ns: int) -> None:
        scheduled_ns = self._scheduled_ns(end_ns)
        if scheduled_ns <= end_ns:
            self.begin(scheduled_ns)
        elif self.retired or self._crowd.crew.stopped():
            self._leave()
        else:
            self._crowd.crew.timetable.call_at(scheduled_ns, self.begin, scheduled_ns)

    def _scheduled_ns(self, end_ns: int) -> int:
        lane, crowd = self._lane, self._crowd
        wait_ns = lane.backoff_ns() if lane.broken else 0
        if not crowd.thinks:
            return end_ns + wait_ns
        return max(crowd.schedule.next_scheduled_ns(end_ns, lane.sent_ns, self.index, self._iteration), end_ns + wait_ns)

    def _leave(self) -> None:
        self._lane.close()
        self._crowd.left(self)


class ClosedCrowd:
    """A worker's share of a population of users.

    Args:
        crew, supply: what they share.
        schedule: how many there are to be, and their pauses.
        worker, workers: whose share this is: every `workers`-th user.
        first_index: added to a user's index in the records, so that populations do not overlap.
    """

    def __init__(
        self,
        crew: Crew,
        supply: WorkSupply,
        schedule: ClosedLoop,
        worker: int,
        workers: int,
        pool: LanePool,
        first_index: int = 0,
    ) -> None:
        self.crew = crew
        self.supply = supply
        self.schedule = schedule
        self.pool = pool
        self.paused = False
        self.thinks = schedule.thinks
        self.missed = 0
        """Always: in a closed loop nothing can be."""
        self.first_index = first_index
        self._worker = worker
        self._workers = workers
        self._users: dict[int, User] = {}
        self._levels: Levels = schedule
        self._start_ns = 0
        self._commands = 0
        """How many there were: a change planned before the last one is void."""
        self._level = 0
        self._retiring = 0
        self._waits = False
        """A change of the level is to come."""
        self._exhausted = False

    @property
    def alive(self) -> int:
        """Users of this worker's share who will send again."""
        return len(self._users) - self._retiring

    @property
    def active(self) -> bool:
        """It has users, or will have more."""
        return bool(self._users) or (not self._exhausted and not self.crew.stopped() and self._waits)

    def start(self, start_ns: int) -> None:
        """Begin at a monotonic time."""
        self._start_ns = start_ns
        self._waits = True
        self._change(-1)

    def set_level(self, goal: int, per_s: float | None, at_ns: int) -> None:
        """Move to `goal` users of the whole population, from a monotonic time on."""
        begin_ns = at_ns - self._start_ns
        self._levels = Ramp(self._levels.target_users(begin_ns), goal, per_s or DEFAULT_CHANGE_PER_S, begin_ns)
        self._commands += 1
        self._waits = True
        self._change(begin_ns - 1)

    def pause(self) -> None:
        """Start nothing more; what is in flight goes on."""
        self.paused = True

    def resume(self, at_ns: int) -> None:
        """Let everyone send again."""
        self.paused = False
        for user in list(self._users.values()):
            if user.idle:
                user.idle = False
                user.begin(at_ns)

    def stop(self) -> None:
        """Let users who wait leave: the load has stopped."""
        for user in list(self._users.values()):
            if user.idle:
                user.idle = False
                user.begin(0)

    def left(self, user: User) -> None:
        """Take note that a user is gone."""
        if not user.retired and not self.crew.stopped():
            self._exhausted = True  # it found no more work
        self._retiring -= user.retired
        del self._users[user.index]

    def _change(self, after_ns: int) -> None:
        """Arrange for the first change of the level after a time since the start."""
        change_ns = 0 if after_ns < 0 and self._levels.target_users(0) > 0 else self._levels.next_change_ns(max(after_ns, 0))
        if change_ns is None:
            self._waits = False
            return
        self.crew.timetable.call_at(self._start_ns + change_ns, self._step, change_ns, self._commands)

    def _step(self, change_ns: int, turned: int) -> None:
        if turned != self._commands:
            return  # a command came meanwhile
        if self.crew.stopped() or self._exhausted:
            self._waits = False
            return
        self._adjust(self._levels.target_users(change_ns), self._start_ns + change_ns)
        self._change(change_ns)

    def _adjust(self, level: int, due_ns: int) -> None:
        """Start the users below a level that are not there, retire those above it."""
        before, self._level = self._level, level
        for index in _stripe(before, level, self._worker, self._workers):
            user = self._users.get(index)
            if user is not None:
                self._retiring -= user.retired
                user.retired = False
                continue
            self._users[index] = user = User(self, index)
            self.crew.receiver.hurry()
            user.begin(due_ns)
        for index in _stripe(level, before, self._worker, self._workers):
            user = self._users.get(index)
            if user is not None and not user.retired:
                user.retired = True
                self._retiring += 1
                if user.idle:
                    user.begin(due_ns)


def _stripe(first: int, end: int, worker: int, workers: int) -> Sequence[int]:
    """Return a worker's indices among first..end-1."""
    return range(first + (worker - first) % workers, end, workers)

"""The closed loop: how many users there are over time, when each starts, and when it sends again.

Knows nothing of clocks: times are nanoseconds since the start of the load. Users are numbered; those below the level are alive, and
worker w of n has users w, w + n, w + 2n, ..., so a change of level adds or ends the users in between and no others. Invariant: each
start is computed from zero, never from the one before, so that no error accumulates: 5,000/s means 5,000 users in one second.
"""

from __future__ import annotations

import math

from fastload.plan.load_section import Load
from fastload.plan.stages import read_stages
from fastload.schedule.levels import DEFAULT_SPAWN_RATE, StagedLevels
from fastload.schedule.ramp import Ramp
from fastload.schedule.shapes import Shape
from fastload.schedule.think import Thinking

__all__ = ["DEFAULT_SPAWN_RATE", "ClosedLoop"]


class ClosedLoop:
    """Users who each wait for their response before they think and send again.

    Args:
        users: how many, when there are no stages.
        spawn_rate: users per second; None = all of them within the first second, or `DEFAULT_SPAWN_RATE` when that is slower.
        thinking: pauses between response and request; None = none.
        pacing_s: a user sends at most once in this time; None = as soon as it may.
        stages: users over time, in place of `users`.
    """

    def __init__(
        self,
        users: int,
        spawn_rate: float | None,
        thinking: Thinking | None = None,
        pacing_s: float | None = None,
        stages: Shape | None = None,
    ) -> None:
        self.spawn_rate = spawn_rate
        self._thinking = None if thinking is None or thinking.none else thinking
        self._pacing_ns = 0 if pacing_s is None else round(pacing_s * 1e9)
        self.most_users = users if stages is None else math.floor(stages.most + 0.5)
        """The highest level of the plan."""
        self._levels: Ramp | StagedLevels
        if stages is None:
            pace = float(min(users, DEFAULT_SPAWN_RATE)) if spawn_rate is None else spawn_rate
            self._levels = Ramp(0, users, pace, 0)
        else:
            self._levels = StagedLevels(stages, spawn_rate)

    @classmethod
    def of(cls, load: Load, seed: int = 0) -> ClosedLoop:
        """Return the schedule a plan's load asks for; the seed is that of the think times."""
        stages = None if load.stages is None else Shape.of(read_stages(load.stages))
        return cls(load.users, load.spawn_rate, Thinking.parse(load.think_time, seed), load.pacing_s, stages)

    @property
    def thinks(self) -> bool:
        """A user may wait between two requests."""
        return self._thinking is not None or self._pacing_ns > 0

    def target_users(self, t_ns: int) -> int:
        """Return how many users, of the whole population, are to be alive at a time."""
        return self._levels.target_users(t_ns)

    def next_change_ns(self, t_ns: int) -> int | None:
        """Return when `target_users` changes next after a time; None = never again."""
        return self._levels.next_change_ns(t_ns)

    def spawn_offset_ns(self, user: int) -> int:
        """Return when user 0, 1, ... starts for the first time, without stages: user / spawn rate, rounded down."""
        if not isinstance(self._levels, Ramp):
            raise TypeError("in stages users come and go: follow next_change_ns")
        if not 0 <= user < self.most_users:
            raise ValueError(f"there is no user {user} among {self.most_users}")
        return self._levels.step_ns(user)

    def next_scheduled_ns(self, previous_end_ns: int, previous_sent_ns: int, user: int, iteration: int) -> int:
        """Return when a user wants its next request to leave: after the think time, and with pacing a period after the last one.

        A response that took longer than the period is not made up for.
        """
        pause_ns = 0 if self._thinking is None else self._thinking.pause_ns(user, iteration)
        scheduled_ns = previous_end_ns + pause_ns
        return max(scheduled_ns, previous_sent_ns + self._pacing_ns) if self._pacing_ns else scheduled_ns

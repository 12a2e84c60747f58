"""The closed loop: when each user starts, and when it sends again.

Knows nothing of clocks: times are nanoseconds since the start of the load. Invariant: each start is computed from zero, never from
the one before, so that no error accumulates: 5,000/s means 5,000 users in one second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastload.plan.load_section import Load

_NS_PER_S: Final = 1_000_000_000
DEFAULT_SPAWN_RATE: Final = 2000
"""Users per second nobody asked to start faster: about half of the connections one core can set up in a second, so that starting
many users neither delays their first requests nor overruns the server's accept queue."""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A fixed number of users, each waiting for its response before it thinks and sends again."""

    users: int
    spawn_rate: float | None
    """Users per second; None = all of them within the first second, or `DEFAULT_SPAWN_RATE` when that is slower."""
    think_time_ns: int

    @classmethod
    def of(cls, load: Load) -> ClosedLoop:
        """Return the schedule a plan's load asks for."""
        return cls(load.users, load.spawn_rate, round(load.think_time_s * _NS_PER_S))

    def spawn_offset_ns(self, user: int) -> int:
        """Return when user 0..users-1 starts, ns after the start of the load: user / spawn rate, rounded down."""
        if not 0 <= user < self.users:
            raise ValueError(f"there is no user {user} among {self.users}")
        if self.spawn_rate is None:
            return user * _NS_PER_S // min(self.users, DEFAULT_SPAWN_RATE)
        return int(user * _NS_PER_S / self.spawn_rate)

    def next_scheduled_ns(self, previous_end_ns: int) -> int:
        """Return when a user wants its next request to leave: the end of its previous response plus the think time."""
        return previous_end_ns + self.think_time_ns

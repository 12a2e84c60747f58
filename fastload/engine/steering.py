"""Turns what somebody asks of a running load into what its workers are told, and remembers the level in force.

Knows nothing of channels. Invariant: every worker is told the same, with the same moment from which it holds.
"""

from __future__ import annotations

from typing import Any, Final

from fastload.engine.commands import Command
from fastload.plan.model import Plan
from fastload.schedule.arrivals import Arrivals
from fastload.schedule.closed import ClosedLoop
from fastload.schedule.populations import populations

_DELAY_NS: Final = 5_000_000
"""Between a command and the moment it holds: all workers have heard it by then."""
_LOWEST_RATE: Final = 0.001
"""A rate of 0 would never end; `pause` sends nothing."""


class Steering:
    """The level of a load that can be changed while it runs.

    Args:
        plan: whose load it is.
        most_users: connections this machine can hold.
    """

    def __init__(self, plan: Plan, most_users: int) -> None:
        loads = [population.load for population in populations(plan)]
        self.open_loop = plan.trace is None and all(load.open_loop for load in loads)
        self.paused = False
        self.level: float | None = None
        """The level last asked for; None = the plan's schedule is in force."""
        self._most_users = most_users
        self._traced = plan.trace is not None
        self._arrivals = [Arrivals.of(load, 0) for load in loads] if self.open_loop else []
        self._closed = [] if self.open_loop else [ClosedLoop.of(load) for load in loads if not load.open_loop]

    def message(self, command: Command, now_ns: int, start_ns: int) -> dict[str, Any] | None:
        """Return what to tell the workers; None when the command changes nothing or does not fit this load."""
        at_ns = now_ns + _DELAY_NS
        if command.kind in ("pause", "resume"):
            if self.paused == (command.kind == "pause"):
                return None
            self.paused = not self.paused
            return {"what": command.kind, "at_ns": at_ns}
        if self._traced or (command.kind == "rate") != self.open_loop or command.value is None:
            return None
        level = self._in_force(now_ns - start_ns) + command.value if command.relative else command.value
        if self.open_loop:
            self.level = max(level, _LOWEST_RATE)
            return {"what": "rate", "value": self.level, "at_ns": at_ns}
        self.level = float(min(max(round(level), 0), self._most_users))
        return {"what": "users", "value": int(self.level), "spawn_rate": command.spawn_rate, "at_ns": at_ns}

    def _in_force(self, t_ns: int) -> float:
        if self.level is not None:
            return self.level
        if self.open_loop:
            return sum(arrivals.rate_at(max(t_ns, 0) / 1e9) for arrivals in self._arrivals)
        return float(sum(loop.target_users(max(t_ns, 0)) for loop in self._closed))

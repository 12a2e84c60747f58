"""A change of level: from what is in force to a goal, one user at a time, at so many a second.

Pure. Invariant: the level moves monotonically towards the goal: 6 to 12 never passes through 3; each step's time is computed from
the beginning in whole numbers, never from the step before, so that no error accumulates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ramp:
    """Users from `first` to `goal` at `per_s`, beginning at `begin_ns`."""

    first: int
    goal: int
    per_s: float
    begin_ns: int
    _steps: int = field(init=False, repr=False, compare=False)
    _per_ns: int = field(init=False, repr=False, compare=False)
    """Steps per nanoseconds, exactly: a float is a ratio of whole numbers."""

    def __post_init__(self) -> None:
        """Take the pace apart."""
        steps, seconds = float(self.per_s).as_integer_ratio()
        object.__setattr__(self, "_steps", steps)
        object.__setattr__(self, "_per_ns", seconds * _NS_PER_S)

    @property
    def distance(self) -> int:
        """Steps from first to goal."""
        return abs(self.goal - self.first)

    def step_ns(self, step: int) -> int:
        """Return when step 0, 1, ... is taken: the first at once, the others at step / pace, rounded down."""
        return self.begin_ns + step * self._per_ns // self._steps

    def taken(self, t_ns: int) -> int:
        """Return how many steps have been taken at a time."""
        if t_ns < self.begin_ns:
            return 0
        # Steps s with s * per_ns // steps <= t - begin are those with s * per_ns < (t - begin + 1) * steps.
        return min(-(-(t_ns - self.begin_ns + 1) * self._steps // self._per_ns), self.distance)

    def target_users(self, t_ns: int) -> int:
        """Return the level at a time."""
        return self.first + (self.taken(t_ns) if self.goal >= self.first else -self.taken(t_ns))

    def next_change_ns(self, t_ns: int) -> int | None:
        """Return when the level changes next after a time; None when it has arrived."""
        taken = self.taken(t_ns)
        return None if taken == self.distance else self.step_ns(taken)

"""The users of a staged load: how many there are to be over time, each change one user at a time and never faster than allowed.

The shape's levels, rounded to whole users, are the goals; a `Ramp` leads from the level in force to each. Pure. Invariant: whatever
the goals, the level changes by one at a time, and with a spawn rate no two changes are closer than it says.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final

from fastload.schedule.ramp import Ramp
from fastload.schedule.shapes import Piece, Shape

DEFAULT_SPAWN_RATE: Final = 2000
"""Users per second nobody asked to start faster: about half of the connections one core can set up in a second, so that starting
many users neither delays their first requests nor overruns the server's accept queue."""
_NS_PER_S: Final = 1e9


class StagedLevels:
    """Levels of a shape of users.

    Args:
        shape: the users wanted.
        spawn_rate: changes per second at most; None = a jump takes one second, or longer at `DEFAULT_SPAWN_RATE`.
    """

    def __init__(self, shape: Shape, spawn_rate: float | None) -> None:
        assert not shape.is_rate
        self._goals = _goals(shape)
        self._spawn_rate = spawn_rate
        self._since: list[int] = []
        """From when each ramp is in force."""
        self._ramps: list[Ramp] = []
        self._ended = False
        self._extend()

    def target_users(self, t_ns: int) -> int:
        """Return the level at a time; 0 before the start."""
        if t_ns < 0:
            return 0
        return self._ramps[self._at(t_ns)].target_users(t_ns)

    def next_change_ns(self, t_ns: int) -> int | None:
        """Return when the level changes next after a time; None = never again."""
        if t_ns < 0:
            return 0 if self.target_users(0) > 0 else self.next_change_ns(0)
        at = self._at(t_ns)
        level = self._ramps[at].target_users(t_ns)
        while True:
            change_ns = self._ramps[at].next_change_ns(t_ns)
            at += 1
            if at == len(self._ramps) and not self._ended:
                self._extend()
            if at == len(self._ramps):
                return change_ns
            if change_ns is not None and change_ns < self._since[at]:
                return change_ns
            t_ns = self._since[at]
            if self._ramps[at].target_users(t_ns) != level:
                return t_ns

    def _at(self, t_ns: int) -> int:
        while not self._ended and self._since[-1] <= t_ns:
            self._extend()
        return bisect_right(self._since, t_ns) - 1

    def _extend(self) -> None:
        """Add the ramp to the next goal."""
        goal = next(self._goals, None)
        if goal is None:
            self._ended = True
            return
        at_ns, users = goal
        if not self._ramps:
            self._since.append(0)
            self._ramps.append(Ramp(0, users, self._pace(users, None), 0))
            return
        before = self._ramps[-1]
        # At its own moment a goal replaces the last one: steps due then belong to the new ramp.
        taken = before.taken(at_ns - 1)
        level = before.target_users(at_ns - 1)
        unfinished = taken < before.distance
        pace = self._pace(abs(users - level), before.per_s if unfinished else None)
        begin_ns = at_ns
        if self._spawn_rate is not None or (unfinished and taken == 0):
            begin_ns = max(at_ns, before.step_ns(taken))
        elif unfinished:
            begin_ns = max(at_ns, before.step_ns(taken - 1) + int(_NS_PER_S / pace))
        self._since.append(at_ns)
        self._ramps.append(Ramp(level, users, pace, begin_ns))

    def _pace(self, distance: int, unfinished: float | None) -> float:
        if self._spawn_rate is not None:
            return self._spawn_rate
        return max(min(max(distance, 1), DEFAULT_SPAWN_RATE), unfinished or 0.0)


def _goals(shape: Shape) -> Iterator[tuple[int, int]]:
    """Yield (time, users) of the start and of each change of the rounded level, in order."""
    users = -1
    for piece in shape.pieces:
        for at_s, level in _changes(piece):
            if level != users:
                users = level
                yield math.ceil((piece.start_s + at_s) * _NS_PER_S), level


def _changes(piece: Piece) -> Iterator[tuple[float, int]]:
    """Yield (time from its start, users) of a piece's start and of every crossing of a half."""
    yield 0.0, _rounded(piece.first)
    if piece.slope:
        yield from _monotone(piece, 0.0, piece.duration_s, lambda level: (level - piece.first) / piece.slope)
    elif piece.amplitude:
        # The sine is monotone between its extremes, a quarter of a period after each multiple of half a period.
        half = piece.period_s / 2
        edges = [0.0]
        turn = 0
        while edges[-1] < piece.duration_s:
            edges.append(min((turn + 0.5) * half, piece.duration_s))
            yield from _monotone(piece, edges[-2], edges[-1], _wave_inverse(piece, turn))
            turn += 1


def _wave_inverse(piece: Piece, turn: int) -> Callable[[float], float]:
    """Return the inverse of a wave on its monotone part number `turn`, whose middle is at `turn` half periods."""

    def inverse(level: float) -> float:
        angle = math.asin(min(max((level - piece.first) / piece.amplitude, -1.0), 1.0))
        return (math.pi * turn + (-angle if turn % 2 else angle)) * piece.period_s / (2 * math.pi)

    return inverse


def _monotone(piece: Piece, begin_s: float, end_s: float, inverse: Callable[[float], float]) -> Iterator[tuple[float, int]]:
    first, last = _rounded(piece.level(begin_s)), _rounded(piece.level(end_s))
    step = 1 if last > first else -1
    for users in range(first + step, last + step, step) if first != last else ():
        at_s = inverse(users - 0.5 * step)
        yield min(max(at_s, begin_s), end_s), users


def _rounded(level: float) -> int:
    """Return whole users; a half counts as one."""
    return math.floor(level + 0.5)

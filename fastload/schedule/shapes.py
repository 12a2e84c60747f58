"""Levels over time: how many users there are to be, or how many arrivals a second, at any moment of a load.

Pure arithmetic; knows nothing of arrivals or users. A level belongs to the stretch that begins at its moment (right-continuous);
after the end the last one holds. Invariant: `integral` is exact, and `inverse` is its inverse: exact for lines and bursts, to
`TOLERANCE_S` for waves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.plan.stages import Segment, Stages, read_stages

Floats = NDArray[np.float64]
TOLERANCE_S: Final = 1e-9
"""Error of a wave's inverse, a thousandth of what a timer can keep."""
_MAX_STEPS: Final = 120
"""Halving a period of a day to `TOLERANCE_S` takes 47; every other step halves."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch with one formula: first + slope * t + amplitude * sin(2 pi t / period), t from its start."""

    start_s: float
    duration_s: float
    first: float
    slope: float = 0.0
    amplitude: float = 0.0
    period_s: float = 1.0

    @property
    def end_s(self) -> float:
        """Where the next one starts."""
        return self.start_s + self.duration_s

    def level(self, t_s: float) -> float:
        """Return the level `t_s` after its start."""
        wave = self.amplitude * math.sin(2 * math.pi * t_s / self.period_s) if self.amplitude else 0.0
        return self.first + self.slope * t_s + wave


class Shape:
    """Levels over time. Made by `of`, `constant` or `parse_stages`."""

    def __init__(self, pieces: list[Piece], is_rate: bool) -> None:
        assert pieces
        self.pieces = tuple(pieces)
        self.is_rate = is_rate
        self.duration_s = pieces[-1].end_s
        """May be infinite."""
        self._starts = np.array([piece.start_s for piece in pieces])
        self._durations = np.array([piece.duration_s for piece in pieces])
        self._first = np.array([piece.first for piece in pieces])
        self._slope = np.array([piece.slope for piece in pieces])
        self._amplitude = np.array([piece.amplitude for piece in pieces])
        self._omega = np.array([2 * math.pi / piece.period_s for piece in pieces])
        self._waves = bool(self._amplitude.any())
        # An endless piece has no end to integrate to; it is the last one and nothing is added to it.
        areas = [
            float(self._area(np.array([at]), np.array([piece.duration_s]))[0]) if math.isfinite(piece.duration_s) else math.inf
            for at, piece in enumerate(pieces)
        ]
        exact = len(areas) < _EXACT_SUMS
        self._sums = np.array(
            [math.fsum(areas[:at]) for at in range(len(areas) + 1)] if exact else [0.0, *np.cumsum(areas).tolist()]
        )
        """Integral at the start of each piece, and at the end."""

    @classmethod
    def constant(cls, level: float, duration_s: float = math.inf, *, is_rate: bool = False) -> Shape:
        """Return the same level all along."""
        return cls([Piece(0.0, duration_s, level)], is_rate)

    @classmethod
    def of(cls, stages: Stages) -> Shape:
        """Return the levels that stages describe."""
        pieces: list[Piece] = []
        starts = np.concatenate([[0.0], np.cumsum([segment.duration_s for segment in stages.segments])]).tolist()
        for segment, start_s in zip(stages.segments, starts, strict=False):
            pieces.extend(_pieces(segment, start_s))
        return cls(pieces, stages.is_rate)

    @property
    def total(self) -> float:
        """Integral over all of it: the arrivals of a shape of rates."""
        return float(self._sums[-1])

    @property
    def most(self) -> float:
        """The highest level there is."""
        return max(max(piece.level(t) for t in _extremes(piece)) for piece in self.pieces)

    def level(self, t_s: float) -> float:
        """Return the level at a time."""
        at = max(int(np.searchsorted(self._starts, t_s, side="right")) - 1, 0)
        piece = self.pieces[at]
        return max(piece.level(min(max(t_s - piece.start_s, 0.0), piece.duration_s)), 0.0)

    def integral(self, t_s: float) -> float:
        """Return the integral from 0 to a time: of rates, the arrivals expected until then."""
        t_s = min(max(t_s, 0.0), self.duration_s)
        at = max(int(np.searchsorted(self._starts, t_s, side="right")) - 1, 0)
        return float(self._sums[at]) + float(self._area(np.array([at]), np.array([t_s - self.pieces[at].start_s]))[0])

    def inverse(self, count: float) -> float:
        """Return when the integral comes to `count`; where it stands still there, when it goes on."""
        return float(self.inverse_many(np.array([count], dtype=np.float64))[0])

    def inverse_many(self, counts: Floats) -> Floats:
        """Return the inverse of each; counts beyond the total give the end."""
        last = int(np.flatnonzero(np.diff(self._sums) > 0)[-1])
        at = np.minimum(np.searchsorted(self._sums[1:], counts, side="right"), last)
        rest = np.maximum(counts - self._sums[at], 0.0)
        first, slope = self._first[at], self._slope[at]
        # The root of first * t + slope * t**2 / 2 = rest in the form that loses no digits when slope is small.
        root = np.sqrt(np.maximum(first * first + 2.0 * slope * rest, 0.0))
        below = first + root
        times = np.divide(2.0 * rest, below, out=np.zeros_like(rest), where=below > 0)
        if self._waves:
            waves = np.flatnonzero(self._amplitude[at] != 0)
            if len(waves):
                times[waves] = self._inverse_waves(at[waves], rest[waves])
        ends: Floats = self._starts[at] + np.minimum(times, self._durations[at])
        return ends

    def _area(self, at: NDArray[np.intp], t_s: Floats) -> Floats:
        """Return the integral of pieces from their starts over `t_s`."""
        line = (self._first[at] + self._slope[at] * t_s / 2) * t_s
        omega = self._omega[at]
        # 1 - cos x as 2 sin(x/2)**2, which keeps its digits near 0.
        area: Floats = line + self._amplitude[at] * 2 * np.sin(omega * t_s / 2) ** 2 / omega
        return area

    def _inverse_waves(self, at: NDArray[np.intp], rest: Floats) -> Floats:
        """Return when each piece's integral comes to `rest`: Newton's steps, every other one halving the bracket."""
        first, amplitude, omega = self._first[at], self._amplitude[at], self._omega[at]
        # The sine's integral is at most 2 amplitude / omega, which brackets the root.
        low = np.maximum(rest - 2 * amplitude / omega, 0.0) / first
        high = np.minimum(rest / first, self._durations[at])
        t_s: Floats = (low + high) / 2
        # Each value goes its own way and stops by itself, so that it does not depend on what else is computed along with it.
        done = np.zeros(len(t_s), dtype=np.bool_)
        for step in range(_MAX_STEPS):
            excess = self._area(at, t_s) - rest
            high = np.where(excess > 0, t_s, high)
            low = np.where(excess > 0, low, t_s)
            middle: Floats = (low + high) / 2
            moved: Floats = middle
            if step % 2 == 0:
                rate = first + amplitude * np.sin(omega * t_s)
                newton = t_s - np.divide(excess, rate, out=np.full_like(rate, np.inf), where=rate > 0)
                moved = np.where((newton >= low) & (newton <= high), newton, middle)
            settled = (np.abs(moved - t_s) < TOLERANCE_S / 10) if step % 2 == 0 else (high - low < TOLERANCE_S)
            t_s = np.where(done, t_s, moved)
            done |= settled
            if done.all():
                break
        return t_s


_EXACT_SUMS: Final = 1000
"""Pieces up to which each sum is exact on its own; beyond, a running sum is as good as the pieces are many."""


def parse_stages(text: str) -> Shape:
    """Return the levels a text such as `10@30s,10..100@1m` describes (see `fastload.plan.stages`).

    Raises:
        FastloadError: it describes none.
    """
    try:
        return Shape.of(read_stages(text))
    except ValueError as error:
        raise FastloadError(str(error)) from None


def _pieces(segment: Segment, start_s: float) -> list[Piece]:
    length = segment.duration_s
    if segment.kind == "line":
        return [Piece(start_s, length, segment.first, (segment.second - segment.first) / length)]
    if segment.kind == "wave":
        return [Piece(start_s, length, segment.first, 0.0, segment.second, segment.period_s)]
    pieces, periods = [], math.ceil(length / segment.period_s)
    for period in range(periods):
        begin, turn = period * segment.period_s, (period + segment.share) * segment.period_s
        end = min((period + 1) * segment.period_s, length)
        if begin < length:
            pieces.append(Piece(start_s + begin, min(turn, length) - begin, segment.second))
        if turn < end:
            pieces.append(Piece(start_s + turn, end - turn, segment.first))
    return pieces


def _extremes(piece: Piece) -> list[float]:
    """Return the times of a piece where its highest level can be."""
    if not math.isfinite(piece.duration_s):
        return [0.0]
    return [0.0, piece.duration_s, *([piece.period_s / 4] if piece.amplitude and piece.duration_s >= piece.period_s / 4 else [])]

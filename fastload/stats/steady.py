"""The steady part of a load: without the ramp at its head and the ramp-down at its tail.

Two series are looked at, TTFT of the requests in the order they ended and requests in flight over time, each by the rule MSER-5
(White, Cobb, Spratt: A comparison of five steady-state truncation heuristics for simulation, WSC 2000): of the means of five values
each, leave out as many at the head as make the standard error of the rest smallest. At the tail the same, backwards. What is left
must then really be steady: no trend, no part that differs from the others by more than chance.

Pure; works for closed and open loop alike. Invariant: a window that was found lies inside the load, and its `why` names the
seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.stats.trend import trend_score

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

BATCH: Final = 5
MIN_BATCHES: Final = 10
"""Of requests in the window: fifty requests, or there is nothing to say."""
DRIFT: Final = 0.1
"""A trend that moves a series by less than this share of its mean is none that matters."""
DEVIATION: Final = 0.2
"""A part of the window whose mean differs by less than this share is like the others."""
_PARTS: Final = 7
"""Not a divisor of anything a person plans, so that a part does not fall in step with waves or bursts."""
_CLEAR: Final = 3.0
"""Standard scores of a trend; by chance once in 400 windows."""
_ERRORS: Final = 4.0
"""Standard errors a part may differ by."""
_TREND_POINTS: Final = 60
_PASSES: Final = 4
_ROUNDING: Final = 1e-12
_NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class SteadyWindow:
    """The part of a load that is steady; the whole load when none was found."""

    start_ns: int
    end_ns: int
    found: bool
    why: str
    """Which seconds and by which rule, or why there are none; one line."""


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    unit: str
    at_ns: Times
    values: Floats

    def between(self, start_ns: int, end_ns: int) -> _Series:
        inside = (self.at_ns >= start_ns) & (self.at_ns < end_ns)
        return _Series(self.name, self.unit, self.at_ns[inside], self.values[inside])


def steady_window(
    ends_ns: Times, ttft_ns: Floats, sampled_ns: Times, in_flight: Floats, load_start_ns: int, load_end_ns: int
) -> SteadyWindow:
    """Return the steady part of a load.

    Args:
        ends_ns: when the completed requests ended.
        ttft_ns: their times to first token (or, unstreamed, their latencies); NaN = none.
        sampled_ns: when requests in flight were counted, at even distances.
        in_flight: how many they were.
        load_start_ns, load_end_ns: the load, on the same clock; when its warm-up was left out, from that on.
    """
    length_s = (load_end_ns - load_start_ns) / _NS_PER_S
    exists = ~np.isnan(ttft_ns)
    order = np.argsort(ends_ns[exists], kind="stable")
    latency = _Series("TTFT", "ms", ends_ns[exists][order], ttft_ns[exists][order] / 1e6).between(load_start_ns, load_end_ns)
    flight = _Series("requests in flight", "", sampled_ns, in_flight).between(load_start_ns, load_end_ns)

    def none(why: str) -> SteadyWindow:
        return SteadyWindow(load_start_ns, load_end_ns, False, f"no steady part: {why}")

    if len(latency.values) < MIN_BATCHES * BATCH:
        return none(f"{len(latency.values)} requests ended in {length_s:.1f} s, and it takes {MIN_BATCHES * BATCH} to tell")
    if len(flight.values) < MIN_BATCHES * BATCH:
        return none(f"requests in flight were counted {len(flight.values)} times, and it takes {MIN_BATCHES * BATCH} to tell")
    start_ns, end_ns = load_start_ns, load_end_ns
    # Again and again, because a ramp-down at the tail hides a part of the ramp at the head, and the other way round.
    for _ in range(_PASSES):
        before = (start_ns, end_ns)
        head, tail = _head(flight.between(start_ns, end_ns)), _tail(flight.between(start_ns, end_ns))
        if head is None:
            return none("requests in flight had not settled halfway through the load")
        if tail is None:
            return none("requests in flight went down from halfway through the load")
        start_ns, end_ns = max(start_ns, head), min(end_ns, tail)
        if (start_ns, end_ns) == before:
            break
    head = _head(latency.between(start_ns, end_ns))
    if head is None:
        return none("TTFT had not settled halfway through the load")
    start_ns = max(start_ns, head)
    latency, flight = latency.between(start_ns, end_ns), flight.between(start_ns, end_ns)
    if len(latency.values) < MIN_BATCHES * BATCH:
        return none(f"only {len(latency.values)} requests ended between its ramps, and it takes {MIN_BATCHES * BATCH} to tell")
    fault = _unsteady(flight, latency, start_ns, end_ns)
    if fault is not None:
        return none(fault)
    first_s, last_s = ((edge - load_start_ns) / _NS_PER_S for edge in (start_ns, end_ns))
    return SteadyWindow(
        start_ns, end_ns, True, f"{first_s:.1f} s to {last_s:.1f} s of {length_s:.1f} s (MSER-5 on TTFT and requests in flight)"
    )


def mser(values: Floats) -> int | None:
    """Return how many values at the head MSER-5 leaves out; None when it would be half of them: they may never settle."""
    batches = len(values) // BATCH
    if batches < 2:
        return 0
    means = values[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    # The sum of squares of the rest, for every cut at once; from the overall mean, so that large values lose no digits.
    means = means - means.mean()
    left = np.arange(batches, 0, -1, dtype=np.float64)
    sums = np.cumsum(means[::-1])[::-1]
    squares = np.maximum(np.cumsum((means**2)[::-1])[::-1] - sums**2 / left, 0.0)
    # Rounding must not make one cut of a constant rest better than another.
    squares[squares <= _ROUNDING * squares[0]] = 0.0
    half = batches // 2
    cut = int(np.argmin((squares / left**2)[: half + 1]))
    return None if cut == half else cut * BATCH


def _settled(values: Floats) -> int | None:
    """Return how many values at the head are left out; None = they do not settle in the first half.

    Where MSER-5 gives up, what wanders slowly but little is still as good as settled once it is close to its later mean: whether
    it stays there is judged afterwards.
    """
    cut = mser(values)
    if cut is not None:
        return cut
    batches = len(values) // BATCH
    means = values[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    half = batches // 2
    goal = float(means[half:].mean())
    close = np.flatnonzero(np.abs(means[:half] - goal) <= DRIFT / 2 * abs(goal))
    return int(close[0]) * BATCH if len(close) else None


def _head(series: _Series) -> int | None:
    """Return the time from which a series has settled."""
    cut = _settled(series.values)
    if cut is None:
        return None
    return int(series.at_ns[cut]) if cut else 0


def _tail(series: _Series) -> int | None:
    """Return the time until which a series stays settled; a rise at the end is no ramp-down and is left for others to judge."""
    cut = _settled(series.values[::-1])
    if cut is None:
        return None
    if cut == 0 or series.values[-cut:].mean() > series.values[:-cut].mean():
        return int(np.iinfo(np.int64).max)
    return int(series.at_ns[-cut - 1]) + 1


class _Scatter:
    """How far the mean of a part of a series may be from the mean of all, by chance."""

    def __init__(self, series: _Series, length_s: float, stay_s: float | None) -> None:
        variance = float(series.values.var())
        self._independent_s = length_s / len(series.values)
        if stay_s is not None:
            # Values within one stay in the system are nearly the same value; and what an unsaturated open loop has in flight is
            # Poisson, its variance the mean: more than that is not chance.
            self._independent_s = max(2 * stay_s, self._independent_s)
            variance = min(variance, float(series.values.mean()))
        self._deviation = math.sqrt(variance)

    def error(self, span_s: float) -> float:
        """Return the standard error of the mean over a span."""
        return self._deviation * math.sqrt(min(self._independent_s / span_s, 1.0))

    def points(self, length_s: float) -> int:
        """Return how many independent values there are."""
        return int(length_s / self._independent_s)


def _unsteady(flight: _Series, latency: _Series, start_ns: int, end_ns: int) -> str | None:
    """Return why what is left is not steady; None when it is."""
    length_s = (end_ns - start_ns) / _NS_PER_S
    # By Little's law the time in the system is level / throughput.
    stay_s = float(flight.values.mean()) / (len(latency.values) / length_s)
    for series, scatter in ((flight, _Scatter(flight, length_s, stay_s)), (latency, _Scatter(latency, length_s, None))):
        mean = float(series.values.mean())
        if mean <= 0:
            return f"there were no {series.name}" if series is flight else None
        fault = _trend(series, mean, scatter, length_s) or _odd_part(series, mean, scatter, start_ns, end_ns)
        if fault is not None:
            return fault
    return None


def _trend(series: _Series, mean: float, scatter: _Scatter, length_s: float) -> str | None:
    points = min(_TREND_POINTS, len(series.values) // BATCH)
    edges = np.linspace(0, len(series.values), points + 1).astype(np.int64)
    means = np.add.reduceat(series.values, edges[:-1]) / np.diff(edges)
    sixth = max(points // 6, 1)
    first, last = float(means[:sixth].mean()), float(means[-sixth:].mean())
    # The test takes its values for independent: with fewer of those its score is larger than it should be, by about the root.
    score = abs(trend_score(means)) * math.sqrt(min(scatter.points(length_s) / points, 1.0))
    if abs(last - first) <= DRIFT * mean or score < _CLEAR:
        return None
    direction = "rising" if last > first else "falling"
    return f"{series.name} kept {direction}, from {first:.4g} to {last:.4g} {series.unit}".rstrip()


def _odd_part(series: _Series, mean: float, scatter: _Scatter, start_ns: int, end_ns: int) -> str | None:
    part_s = (end_ns - start_ns) / _NS_PER_S / _PARTS
    at = np.minimum((series.at_ns - start_ns) * _PARTS // max(end_ns - start_ns, 1), _PARTS - 1).astype(np.int64)
    counts = np.bincount(at, minlength=_PARTS)
    sums = np.bincount(at, weights=series.values, minlength=_PARTS)
    parts = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
    worst = int(np.argmax(np.abs(parts - mean)))
    if abs(parts[worst] - mean) <= max(DEVIATION * mean, _ERRORS * scatter.error(part_s)):
        return None
    shown = f"{parts[worst]:.4g} {series.unit}".rstrip()
    return f"{series.name} averaged {shown} in one part of {part_s:.1f} s and {mean:.4g} overall"

"""The open loop: when requests arrive, at a rate that may change over time.

Arrivals are drawn at unit rate, in "operational time", and mapped through the inverse of the shape's integral, so that any process
can follow any rate. Unit-rate gaps come in blocks, each drawn from the seed and its own number and scaled to its expected length,
so that the rate is exact over every block, as vLLM's bench makes it over a whole run; the last block is as long as what is left, so
a finite run has exactly rate * duration arrivals. The first arrival of each block opens it. Scaling lowers the coefficient of
variation by a share of about CV**2 / (2 * block): 0.05 % in a Poisson process.

Pure. Invariant: the time of an arrival depends on the plan and its number alone, however arrivals are asked for.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.plan.load_section import Load
from fastload.plan.rhythm import read_arrival
from fastload.plan.stages import read_stages
from fastload.schedule.shapes import Floats, Shape

BLOCK: Final = 1000
"""Gaps scaled together; of processes with CV > 1 as many times more as their variance is larger, up to `MAX_BLOCK`."""
MAX_BLOCK: Final = 10_000
"""Drawing a block takes some 40 ns a gap on the loop that measures: half a millisecond at most."""
_NS_PER_S: Final = 1e9
_PURPOSE: Final = 0x617272  # "arr": keeps these draws apart from others of the same seed


class Arrivals:
    """The arrivals of a whole load; workers take every `workers`-th.

    Args:
        shape: rates over time, or one rate for ever.
        process: `constant`, `poisson` or `gamma:CV`.
        seed: the same seed gives the same times.
    """

    def __init__(self, shape: Shape | float, process: str, seed: int) -> None:
        self.shape = shape if isinstance(shape, Shape) else Shape.constant(shape, is_rate=True)
        assert self.shape.is_rate
        self._arrival = read_arrival(process)
        self._seed = seed
        self._block = BLOCK
        if self._arrival.cv > 1:
            self._block = min(int(BLOCK * self._arrival.cv**2), MAX_BLOCK)
        total = self.shape.total
        # A rounding error must not add an arrival at the very end, where it would never be sent.
        self.count: int | None = math.ceil(total * (1 - 1e-12)) if math.isfinite(total) else None
        """Arrivals there are; None = no end."""
        self._last: int | None = None if self.count is None else max(self.count // self._block, 1) - 1
        """The last block takes what is left: one to two blocks' length, for short blocks would flatten the gaps."""
        self._cached: tuple[int, NDArray[np.int64]] | None = None

    @classmethod
    def of(cls, load: Load, seed: int) -> Arrivals:
        """Return the arrivals a plan's load asks for; a rate wins over stages, for only a target's own stands beside them."""
        if load.rate is not None:
            shape = Shape.constant(load.rate, math.inf if load.duration_s is None else load.duration_s, is_rate=True)
        else:
            assert load.stages is not None
            shape = Shape.of(read_stages(load.stages))
        return cls(shape, load.arrival, seed)

    def ended(self, index: int) -> bool:
        """Tell whether there is no arrival of this number."""
        return self.count is not None and index >= self.count

    def rate_at(self, t_s: float) -> float:
        """Return the rate at a time, arrivals per second."""
        return self.shape.level(t_s)

    def times_ns(self, first: int, count: int) -> NDArray[np.int64]:
        """Return when arrivals number first..first+count-1 are due, ns after the start; fewer where the load ends before."""
        if self.count is not None:
            count = min(count, self.count - first)
        if count <= 0:
            return np.zeros(0, dtype=np.int64)
        if self._arrival.kind == "constant":
            return self._due_ns(np.arange(first, first + count, dtype=np.float64))
        parts, end = [], first + count
        while first < end:
            number = first // self._block if self._last is None else min(first // self._block, self._last)
            begin = number * self._block
            times = self._block_ns(number)
            parts.append(times[first - begin : end - begin])
            first = begin + len(times)
        return np.concatenate(parts)

    def _block_ns(self, number: int) -> NDArray[np.int64]:
        """Return when the arrivals of one block are due; computed whole, so that it does not matter which of them are asked for."""
        if self._cached is not None and self._cached[0] == number:
            return self._cached[1]
        # Of arrivals closer than the inverse is exact none may overtake another.
        times = np.maximum.accumulate(self._due_ns(number * self._block + self._unit_times(number)))
        self._cached = (number, times)
        return times

    def _unit_times(self, number: int) -> Floats:
        """Return the unit-rate times of one block's arrivals, from its start: the first one is 0."""
        size = self._block
        if self.count is not None and number == self._last:
            size = self.count - number * self._block
        draw = np.random.default_rng((_PURPOSE, self._seed, number))
        shape = 1 / self._arrival.cv**2
        gaps = draw.standard_exponential(size) if self._arrival.kind == "poisson" else draw.standard_gamma(shape, size)
        sums = np.cumsum(gaps)
        # A gamma process with a large CV can draw nothing but zeros; its arrivals then all open the block.
        return np.concatenate([[0.0], sums[:-1]]) * (size / sums[-1] if sums[-1] > 0 else 0.0)

    def _due_ns(self, unit_times: Floats) -> NDArray[np.int64]:
        times = np.rint(self.shape.inverse_many(unit_times) * _NS_PER_S)
        if self.count is not None:
            # Rounded up to the very end an arrival would never be sent.
            times = np.minimum(times, math.ceil(self.shape.duration_s * _NS_PER_S) - 1)
        return times.astype(np.int64)
